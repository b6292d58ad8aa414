"""`--dry-run`: what would run, one line per cell: a dataset, network and baseline of equal settings, with its seeds."""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.command.actions import todo_of
from bench.command.columns import columns, with_options
from bench.command.notices import say_stale
from bench.command.options import check, check_options
from bench.config.settings import Stage
from bench.config.suite import Run
from bench.launch import needs
from bench.records.index import stands_of
from bench.records.standing import Stands

HEAD = ("state", "dataset", "baseline", "network", "seeds", "budget", "stages missing")


def dry_run(options: argparse.Namespace, root: Path, runs: Sequence[Run]) -> int:
    check_options(options)
    # Nothing but JSON is on standard output with --json.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        check(options, runs)
        stands = stands_of(root, runs)
        todo, failures = todo_of(stands, runs, options.retry)
        needs.check(root, todo)
        say_stale(stands)
    started = {run.run_id for run in todo}
    state = {run.run_id: _state(run.run_id, started, failures) for run in runs}
    missing = {run.run_id: missing_of(run, stands, options.retry) for run in runs}
    if options.json:
        print(json.dumps([_entry(run, state[run.run_id], missing[run.run_id]) for run in runs], indent=1))
        return 0
    print(*lines(runs, state, missing), sep="\n")
    print(f"{len(todo)} of {len(runs)} runs would start")
    return 0


def _state(run_id: str, started: set[str], failures: Mapping[str, str]) -> str:
    return "would run" if run_id in started else "failed" if run_id in failures else "finished"


def missing_of(run: Run, stands: Stands, retry: bool = False) -> list[Stage]:
    """The stages of a run without a record as it is asked for; on `retry` also those that have lost something."""
    return [stage for stage, found in stands[run.run_id].items() if found.state != "done" or (retry and found.lost)]


def lines(runs: Sequence[Run], state: Mapping[str, str], missing: Mapping[str, Sequence[Stage]]) -> list[str]:
    """A head, and a line for each cell, or for each part of it whose runs stand alike."""
    alike: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.variant, state[run.run_id], *missing[run.run_id]), []).append(run)
    rows = [HEAD]
    for (_, found, *stages), same in alike.items():
        parts = (same[0].dataset, same[0].baseline, same[0].network)
        dataset, baseline, network = (with_options(part.name, part.options) for part in parts)
        if values := same[0].trial or (same[0].tune and same[0].tune.lists):
            short = {key.rpartition(".")[2]: value for key, value in values.items()}
            baseline = with_options(f"{same[0].baseline.name} {same[0].tuning}", short)
        seeds = ",".join(str(run.seed) for run in same)
        rows.append((found, dataset, baseline, network, seeds, same[0].training.budget, " ".join(stages) or "none"))
    return columns(rows, shrinks=(1, 2, 3, 4, 5))


def _entry(run: Run, state: str, missing: Sequence[Stage]) -> dict[str, object]:
    found = {"run_id": run.run_id, "state": state, "missing": list(missing)}
    return {**found, "config": run.model_dump(mode="json")}
