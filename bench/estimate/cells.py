"""The distinct cells of runs, each timed once: seeds share one, and so do data of equal shapes and sizes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.config.settings import Stage
from bench.config.suite import Run
from bench.datasets.base import SPLITS, Dataset
from bench.errors import UsageError
from bench.estimate import build
from bench.estimate.guess import Guess, guess
from bench.estimate.law import stages
from bench.estimate.metrics import OfSamples
from bench.estimate.timing import Timed
from bench.evaluation import lost


@dataclass
class Cell:
    """Runs that take equally long.

    Attributes:
        finished: runs of the same settings whose evaluations are known.
        seconds: of each stage of one run; empty if it could not be timed, for the reason `failed`.
        peak: bytes; more if training was not timed on its whole batch, which `is_whole` says.
        untimed: what is not in the seconds, and why.
    """

    runs: list[Run]
    dataset: Dataset | None = None
    stand_in: bool = False
    finished: list[Run] = field(default_factory=list)
    seconds: dict[Stage, float] = field(default_factory=dict)
    guess: Guess | None = None
    peak: int = 0
    is_whole: bool = True
    failed: str = ""
    untimed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where cells are timed: results, data and device, with all runs of the plan by id.

    `compiles` is whether networks are compiled as they will be, which on another device would be of no use.
    """

    root: Path
    data_dir: Path
    device: str
    planned: Mapping[str, Run]
    compiles: bool = True


def cells_of(todo: Sequence[Run], place: Place) -> list[Cell]:
    """The cells of runs, in their order."""
    found: dict[str, Cell] = {}
    known: dict[str, tuple[Dataset | None, bool, str]] = {}
    for run in todo:
        if (named := run.dataset.model_dump_json()) not in known:
            known[named] = _dataset(run, place)
        dataset, stand_in, failed = known[named]
        key = json.dumps([_settings(run), _facts(dataset) if dataset else named])
        cell = found.setdefault(key, Cell([], dataset, stand_in, failed=failed))
        cell.runs.append(run)
    ids = {run.run_id for run in todo}
    for cell in found.values():
        variants = {run.variant for run in cell.runs}
        cell.finished = [r for i, r in place.planned.items() if i not in ids and r.variant in variants]
    return list(found.values())


def _dataset(run: Run, place: Place) -> tuple[Dataset | None, bool, str]:
    try:
        return *build.dataset(run.dataset, place.data_dir, run.seed), ""
    except Exception as error:
        return None, False, reason(error)


def _settings(run: Run) -> object:
    """What takes time but for the data; a teacher by its variant, since each seed has one of its own."""
    baseline = run.baseline.model_dump(mode="json")
    if run.teachers:
        baseline["options"] = {**baseline["options"], "teacher": run.teachers[0].rpartition("-s")[0].split("-", 1)[-1]}
    training = run.training.model_dump(mode="json", exclude={"checkpoint_seconds", "lr"})
    evaluation = run.evaluation.model_dump(mode="json")
    return [baseline, run.network.model_dump(mode="json"), training, evaluation, run.stages]


def _facts(dataset: Dataset) -> object:
    """Shapes, sizes and kinds of a dataset; a set that is the same in these takes as long."""
    sizes = [len(values) if (values := getattr(dataset, split)) is not None else 0 for split in SPLITS]
    given = dataset.given_of("test", slice(1))
    kinds = [type(dataset.source).__name__, type(dataset.space).__name__, dataset.extractor, dataset.classes]
    given_shape = None if given is None else list(given.shape[1:])
    return [list(dataset.shape), dataset.levels, sizes, given_shape, kinds, dataset.posterior is not None]


def time_cell(cell: Cell, place: Place, metrics: OfSamples) -> None:
    """Time a cell, or say why it cannot be; nothing is written."""
    if cell.failed or cell.dataset is None:
        return
    run = cell.runs[0]
    try:
        make = build.Untrained(run, cell.dataset, place.root, place.data_dir, place.planned)
        parts = Timed(run, cell.dataset, make, metrics, place.device, place.compiles)
        cell.guess = guess(place.root, cell.finished, cell.dataset.is_image)
        cell.seconds = dict(stages(run, parts, cell.guess))
        cell.peak, cell.is_whole = parts.peak, parts.is_whole
        cell.untimed = dict(metrics.untimed)
    except Exception as error:
        cell.failed = reason(error)


def reason(error: Exception) -> str:
    """Why a cell cannot be timed, in one line."""
    return str(error) if isinstance(error, UsageError) else lost.reason(error)
