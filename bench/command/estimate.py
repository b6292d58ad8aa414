"""`--estimate`: what the runs that are missing will cost, by timing parts of each distinct cell for some seconds."""

import argparse
import contextlib
import gc
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.command.actions import stands_of, todo_of
from bench.command.columns import WIDTH, columns, one_of, short, with_options
from bench.command.dry_run import missing_of
from bench.command.options import check_device, check_options, check_runs, device_of, ranks_of_a_run, threads_of
from bench.config.settings import STAGES
from bench.config.suite import Run
from bench.launch import needs

if TYPE_CHECKING:
    from bench.estimate.bill import Bill
    from bench.estimate.cells import Cell, Place

HEAD = ("baseline", "dataset", "network", "runs", *STAGES, "all", "peak")
NOT_COUNTED = (
    "not counted: starting workers, checkpoints, compiling, floors and real images' features (once per dataset),",
    '             exact fields (once per dataset and path), validation losses of keep = "best",',
    "             metrics of features, what seeds that are trained together save, workers that get in each other's way",
)
UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


def estimate(options: argparse.Namespace, root: Path, runs: Sequence[Run], data_dir: Path) -> int:
    """Time the cells of the runs to do and print a table, or JSON; exit code 1 if one could not be timed."""
    check_options(options)
    check_runs(options, runs)
    if options.cluster == "local":
        check_device(options)
    stands = stands_of(root, runs)
    todo, failures = todo_of(stands, runs, options.retry)
    needs.check(root, todo)
    missing = {run.run_id: missing_of(run, stands, options.retry) for run in todo}
    if not todo and not options.json:
        print(f"0 of {len(runs)} runs would start{_left_out(len(runs), failures)}")
        return 0
    begun, device = time.monotonic(), device_of(options)
    # Nothing but JSON is on standard output with --json.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        cells, place = _timed(options, root, todo, data_dir, {run.run_id: run for run in runs})
    from bench.estimate.bill import bill, total
    from bench.estimate.packing import makespan

    ranks = ranks_of_a_run(options)
    bills = [bill(cell, missing, ranks) for cell in cells]
    whole = total(bills)
    workers = _workers(options, device, len(todo))
    wall = makespan([run for run in todo if run.run_id in whole.runs], whole.runs, workers)
    if options.json:
        print(json.dumps(_as_json(cells, bills, whole, wall, workers, place.device), indent=1))
    else:
        print(f"{len(cells)} cells, {_timed_on(place.device, device)} in {time.monotonic() - begun:.0f} s")
        print(f"{len(todo)} of {len(runs)} runs would start{_left_out(len(runs) - len(todo), failures)}")
        print(*table(cells, bills, whole), sep="\n")
        print(*_conclusions(cells, whole, wall, workers, place.device, ranks), *_notes(cells), sep="\n")
    return 1 if any(cell.failed for cell in cells) else 0


def _left_out(runs: int, failures: Mapping[str, str]) -> str:
    kinds = {"finished": runs - len(failures), "failed": len(failures)}
    texts = [f"{count} {kind}" for kind, count in kinds.items() if count]
    return f"; left out: {', '.join(texts)}" if texts else ""


def _timed(
    options: argparse.Namespace, root: Path, todo: Sequence[Run], data_dir: Path, planned: Mapping[str, Run]
) -> "tuple[list[Cell], Place]":
    """The cells with their seconds, in this process, of as many threads as a run has."""
    import torch

    from bench.config.components import forget
    from bench.estimate.cells import Place, cells_of, time_cell
    from bench.estimate.metrics import OfSamples
    from bench.launch import threads
    from bench.launch.local import cores

    asked = device_of(options)
    device = asked if asked == "cpu" or torch.cuda.is_available() else "cpu"
    threads.use(min(threads_of(options, asked), cores()))
    place = Place(root, data_dir, device, planned, device == asked)
    cells, metrics = cells_of(todo, place), dict[int, OfSamples]()
    for i, cell in enumerate(cells, 1):
        _say(f"timing cell {i} of {len(cells)}: {cell.runs[0].baseline.name}")
        if cell.dataset is not None:
            key = id(cell.dataset)
            time_cell(cell, place, metrics.setdefault(key, OfSamples(cell.dataset, data_dir, device)))
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    _say("")
    forget()
    return cells, place


def _say(text: str) -> None:
    """Where the timing is, on a terminal."""
    if sys.stderr.isatty():
        print(f"{text:70}", end="\r", file=sys.stderr, flush=True)


def _workers(options: argparse.Namespace, device: str, runs: int) -> int:
    """How many runs are worked on at once."""
    if options.cluster == "slurm":
        return min(options.max_parallel or runs, runs)
    from bench.launch.local import worker_environments

    return len(worker_environments(options.workers, device, runs, ranks_of_a_run(options)))


def _timed_on(device: str, asked: str) -> str:
    from bench.records.provenance import device_name

    other = f" instead of the {asked} that is asked for" if asked != device else ""
    return f"timed on this machine's {device_name(device)}{other}"


def table(cells: "Sequence[Cell]", bills: "Sequence[Bill]", whole: "Bill") -> list[str]:
    """A line per cell with the time of all its runs by stage, and their sum; a cell that failed has its reason."""
    rows = [HEAD]
    for cell, bill in zip(cells, bills, strict=True):
        peak = f"{'' if cell.is_whole else '>'}{cell.peak / 2**30:.1f} GB" if cell.peak else ""
        rows.append((*_name(cell), str(len(cell.runs)), *_by_stage(bill), peak))
    rows.append(("all", "", "", str(len(whole.runs)), *_by_stage(whole), ""))
    lines = columns(rows, shrinks=(0, 1, 2), right=range(3, len(HEAD)))
    for i, cell in enumerate(cells, 1):
        if cell.failed:
            lines[i] = short("  ".join([*_name(cell)[:2], f"failed: {cell.failed}"]), WIDTH)
    return lines


def _name(cell: "Cell") -> tuple[str, str, str]:
    """Baseline, datasets and network."""
    run = cell.runs[0]
    datasets = list(dict.fromkeys(run.dataset.name for run in cell.runs))
    return (
        with_options(run.baseline.name, run.baseline.options),
        one_of(datasets, 1) + ("*" if cell.stand_in else ""),
        with_options(run.network.name, run.network.options),
    )


def _by_stage(bill: "Bill") -> list[str]:
    texts = [duration(bill.stages[stage]) if stage in bill.stages else "" for stage in STAGES]
    return [*texts, duration(bill.seconds) if bill.stages else ""]


def duration(seconds: float) -> str:
    """ "3.4 h", "12 min" or "45 s": two digits or more."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= 1.5 * size), UNITS[-1])
    value = seconds / size
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


def _conclusions(
    cells: "Sequence[Cell]", whole: "Bill", wall: float, workers: int, device: str, ranks: int
) -> list[str]:
    failed = sum(len(cell.runs) for cell in cells if cell.failed)
    without = f"without {failed} run{'s' * (failed > 1)} that could not be timed"
    if not whole.runs:
        return [without]
    unit = "GPU" if device == "cuda" else "worker"
    hours = f"{whole.seconds * ranks / 3600:.3g} {unit} hours"
    at_once = f"{workers} worker{'s' * (workers > 1)}" + (f" of {ranks} ranks" if ranks > 1 else "")
    longest = max(whole.runs.values(), default=0.0)
    told = f"about {hours} in all; about {duration(wall)} with {at_once}, and {duration(longest)} the longest run"
    return [told, *([without] if failed else [])]


def _notes(cells: "Sequence[Cell]") -> list[str]:
    guesses = [cell.guess for cell in cells if cell.guess]
    usual = sorted({f"{guess.samples:.0f}" for guess in guesses if not guess.runs}, key=int)
    told = sum(guess.runs for guess in guesses)
    of = [f"{' or '.join(usual)} evaluations of an adaptive solve at 1e-5"] if usual else []
    of += [f"those of {told} finished runs"] if told else []
    notes = [f"assumed: {', '.join(of)}"] if of else []
    notes += ["* stands for data of that shape, which is not here"] if any(cell.stand_in for cell in cells) else []
    untimed = dict.fromkeys(f"{what} ({why})" for cell in cells for what, why in cell.untimed.items())
    return [*notes, *NOT_COUNTED, *(short(f"nor {each}", WIDTH) for each in untimed)]


def _as_json(
    cells: "Sequence[Cell]", bills: "Sequence[Bill]", whole: "Bill", wall: float, workers: int, device: str
) -> dict[str, Any]:
    def entry(cell: "Cell", bill: "Bill") -> dict[str, Any]:
        names = dict(zip(HEAD, _name(cell), strict=False))
        return {
            **names,
            "runs": [run.run_id for run in cell.runs],
            "seconds": bill.stages,
            "peak_memory_bytes": cell.peak,
            "failed": cell.failed,
        }

    return {
        "device": device,
        "workers": workers,
        "wall_seconds": wall,
        "seconds": whole.stages,
        "not_timed": [run.run_id for cell in cells if cell.failed for run in cell.runs],
        "cells": [entry(cell, bill) for cell, bill in zip(cells, bills, strict=True)],
    }
