"""Runs on several workers: each takes the longest run that is left, once what that needs has ended."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bench.config.suite import Run


def makespan(runs: Sequence[Run], seconds: Mapping[str, float], workers: int) -> float:
    """Seconds until the last run has ended, by the seconds of each; longest first (Graham 1969)."""
    ids = [run.run_id for run in runs]
    known, left = set(ids), dict[int, int]()
    waiting = defaultdict[str, list[int]](list)
    ready: list[tuple[float, int]] = []
    for i, run in enumerate(runs):
        here = known.intersection(run.needs)
        left[i] = len(here)
        for need in here:
            waiting[need].append(i)
        if not here:
            heapq.heappush(ready, (-seconds[ids[i]], i))
    clock, busy = 0.0, list[tuple[float, int]]()
    while ready or busy:
        while ready and len(busy) < max(1, workers):
            longest, i = heapq.heappop(ready)
            heapq.heappush(busy, (clock - longest, i))
        clock, ended = heapq.heappop(busy)
        for i in waiting.pop(ids[ended], ()):
            left[i] -= 1
            if not left[i]:
                heapq.heappush(ready, (-seconds[ids[i]], i))
    return clock
