"""Runs on several workers: each takes the longest run that is left, once what that needs has ended."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bench.config.suite import Run


def makespan(runs: Sequence[Run], seconds: Mapping[str, float], workers: int) -> float:
    """Seconds until the last run has ended, by the seconds of each; longest first (Graham 1969)."""
    ids = [run.run_id for run in runs]
    students = defaultdict[str, list[int]](list)
    ready: list[tuple[float, int]] = []
    for i, run in enumerate(runs):
        here = set(run.needs).intersection(ids) if run.needs else set[str]()
        for need in here:
            students[need].append(i)
        if not here:
            heapq.heappush(ready, (-seconds[ids[i]], i))
    clock, busy = 0.0, list[tuple[float, int]]()
    while ready or busy:
        while ready and len(busy) < max(1, workers):
            longest, i = heapq.heappop(ready)
            heapq.heappush(busy, (clock - longest, i))
        clock, ended = heapq.heappop(busy)
        for i in students.pop(ids[ended], ()):  # a run needs one other at most
            heapq.heappush(ready, (-seconds[ids[i]], i))
    return clock
