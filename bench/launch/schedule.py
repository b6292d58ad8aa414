"""Which run a free worker takes: the dearest first, so that the workers end together.

Nobody knows what a run costs before one of its variant has ended; the other seeds then cost as much. Until then it goes
before those that are known, in the order of the jobs.
"""

import math
from collections.abc import Sequence

from bench.config.suite import Run


class Schedule:
    """Learns what runs cost, and chooses between those that wait."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, run: Run, seconds: float) -> None:
        """Take what a run took for the cost of its variant."""
        self._seconds[run.variant] = seconds

    def first(self, ready: Sequence[Run], waiting: Sequence[Run]) -> int:
        """The place in `ready` of the run to start: one that others wait for, one of unknown cost, or the dearest.

        `waiting` is all that has not begun. Of equals the first is taken.
        """
        needed = {need for run in waiting for need in run.needs}

        def rank(place: int) -> tuple[bool, float]:
            run = ready[place]
            return run.run_id in needed, self._seconds.get(run.variant, math.inf)

        return max(range(len(ready)), key=rank)
