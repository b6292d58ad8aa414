"""What cells come to: seconds of each stage over their runs, and of each run, for the ranks that share it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.config.settings import Stage
from bench.estimate.cells import Cell


@dataclass(frozen=True)
class Bill:
    """Seconds by stage of all runs of a cell or of several, and those of each run by its id."""

    stages: Mapping[Stage, float]
    runs: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())


def bill(cell: Cell, missing: Mapping[str, Sequence[Stage]], ranks: int = 1) -> Bill:
    """Of the stages that each run is missing; ranks share a run's work evenly. Of no run if none could be timed."""
    if cell.failed:
        return Bill({}, {})
    each = {stage: seconds / ranks for stage, seconds in cell.seconds.items()}
    runs = {run.run_id: sum(each.get(stage, 0.0) for stage in missing[run.run_id]) for run in cell.runs}
    stages = {stage: each[stage] * sum(stage in missing[run.run_id] for run in cell.runs) for stage in each}
    return Bill(stages, runs)


def total(bills: Sequence[Bill]) -> Bill:
    stages: dict[Stage, float] = {}
    for found in bills:
        for stage, seconds in found.stages.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return Bill(stages, {run_id: seconds for found in bills for run_id, seconds in found.runs.items()})
