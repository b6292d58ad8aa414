"""Whether a run has got anywhere: what decides if one that was stopped is worth another start."""

import signal
from typing import TYPE_CHECKING

from bench.training.preemption import SIGNALS

if TYPE_CHECKING:
    from bench.launch.job import Job

Headway = dict[str, tuple[int, int]]
FRUITLESS = 3  # stops in a row without headway after which a run is given up


def headway(job: "Job") -> Headway:
    """Time and length of the run's records, its checkpoint and the parts of a stage under way."""
    folder = job.folder
    named = [folder / f"{stage}.json" for stage in job.run.stages]
    seen: Headway = {}
    for path in (*named, folder / "checkpoint.pt", *folder.glob("partial-*"), *folder.glob("partial-*/*")):
        try:
            stat = path.stat()
        except OSError:
            continue
        seen[str(path.relative_to(folder))] = (stat.st_mtime_ns, stat.st_size)
    return seen


def goes_on(code: int, moved: bool, fruitless: int) -> bool:
    """Whether a run whose process ended with `code` is to be started again.

    `moved` is whether it made headway since it was started; `fruitless` starts in a row, this one too, made none.
    """
    if code == -signal.SIGKILL:  # for want of memory, as a rule: again only if there is less left to do
        return moved
    # What asks a process to stop says nothing of its run.
    stopped = code in {*(-number for number in SIGNALS), *(128 + number for number in SIGNALS)}
    return stopped and (moved or fruitless < FRUITLESS)
