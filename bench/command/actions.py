"""What each way of calling the command does: `planned` reads the options, the others act on the planned runs."""

import argparse
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command.notices import (
    idle_cores,
    say_failures,
    say_how_to_follow,
    say_lost,
    say_stale,
    say_submitted,
    say_unfinished,
)
from bench.command.options import (
    check,
    check_options,
    declare,
    device_of,
    ranks_of_a_run,
    setting,
    slurm_options,
    threads_of,
)
from bench.config.plan import plan
from bench.config.registry import whole
from bench.config.settings import Stage
from bench.config.suite import Run, Suite, load_suite
from bench.errors import HalfSubmitted, UsageError
from bench.evaluation.unfinished import clear_finished
from bench.identity import source
from bench.launch import needs
from bench.launch.invocation import suite_of
from bench.launch.queue import SlurmState, Submission, collect, wait
from bench.papers.claims import remember
from bench.records import elsewhere, fresh, records, retries, underway
from bench.records.aside import take_back
from bench.records.files import sweep
from bench.records.index import stands_of
from bench.records.planned import digests, update_plan, write_plan
from bench.records.standing import Standing, Stands

if TYPE_CHECKING:
    from bench.launch.job import Job


def planned(options: argparse.Namespace) -> tuple[str, Suite, list[Run]]:
    """The suite's name, its contents and the runs that the options leave of it."""
    if options.results.exists() and not options.results.is_dir():
        raise UsageError(f"--results {options.results}: a file; expected a folder, or a name for a new one")
    declare(options)
    source.refresh()
    name, suite = load_suite(suite_of(options))
    settings = dict(setting(text) for text in options.set)
    narrowed = (options.protocol, options.baselines, options.datasets, options.seeds)
    runs = plan(name, suite, *narrowed, settings, digests(options.results / name))
    if not runs:
        raise UsageError("nothing to run: --baselines, --datasets and --seeds leave no run")
    return name, suite, runs


def run(options: argparse.Namespace, root: Path, about: str, runs: list[Run], data_dir: Path) -> int:
    """Launch what is missing, then report; exit code 1 if a run of the selection failed."""
    check_options(options)
    states = collect(root.resolve(), runs)
    if options.keep_stale:
        for run_ in runs:
            take_back(root, run_)
        kept = sum(records.vouch(root, run_) for run_ in runs) + elsewhere.vouch(root)
        print(f"--keep-stale: {kept} records that were measured by older code count as current in {root}")
    stands = stands_of(root, runs)
    for run_id, stages in stands.items():
        measured = [stage for stage, stand in stages.items() if stand.state == "done" and not stand.lost]
        clear_finished(records.run_folder(root, run_id), measured)
    todo, failures = todo_of(stands, runs, options.retry)
    if todo:
        check(options, todo)
        needs.check(root, todo)
    say_stale({**stands, **elsewhere.planned(root)})
    if not todo:
        write_plan(root, about, runs, stands)
    if not todo and not remember(root) and fresh.is_fresh(root):
        print(f"nothing to do: {len(runs) - len(failures)} of {len(runs)} runs are finished in {root}")
        say_lost(stands)
        return say_failures(root, failures, runs)
    if todo:
        # Shape, classes and what is given are the data's to say, thus whether networks and metrics fit them. For Slurm
        # or a dry run data are neither fetched nor packed here: such a misfit fails the job, with its reason.
        if options.cluster == "local":
            from bench.config.beforehand import prepare
            from bench.training.build import check_weights

            sizes = prepare(todo, data_dir.resolve())
            todo.sort(key=lambda run_: -sizes[run_.run_id])  # larger samples, as a rule, make dearer runs
            check_weights(todo, root, data_dir.resolve())
        for folder in (data_dir, *data_dir.glob("*/")):
            sweep(folder)  # what killed writes left; a run does so in its own folder
        write_plan(root, about, runs, stands)
        remember(root)
        jobs = _jobs(options, root, todo, data_dir)
        for run_ in todo:
            if states[run_.run_id].status in ("queued", "running"):
                continue  # which may be beyond the stage that has lost something
            # Or what begins here, and is not done yet, would count as lost by its last job.
            Submission.path(root, run_).unlink(missing_ok=True)
            if options.retry:
                retries.ask_again(root, run_)
        if options.cluster == "slurm":
            if not _on_slurm(options, root, todo, jobs):
                return 0
        else:
            from bench.launch.local import launch_local

            for run_ in todo:
                retries.forget_failure(root, run_)
            print(
                f"{root}: {len(todo)} runs to do, {len(runs) - len(todo) - len(failures)} finished, on {jobs[0].device}"
                + idle_cores(options, jobs)
            )
            launch_local(jobs, options.workers, jobs[0].device)
    stands = _rebuild(root, runs)
    say_lost(stands)
    left, failures = todo_of(stands, runs, retry=False)
    return say_failures(root, failures | {run_.run_id: "it has not finished" for run_ in left}, runs)


def todo_of(stands: Stands, runs: Sequence[Run], retry: bool) -> tuple[list[Run], dict[str, str]]:
    """Runs to launch, and the errors of failed ones that are left alone."""
    failed = {i: [found.reason for found in s.values() if found.state == "failed"] for i, s in stands.items()}
    left = {i for i, s in stands.items() if any(found.state != "done" for found in s.values())}
    left |= {i for i, s in stands.items() if retry and retries.lost(s)}
    left -= {i for i, errors in failed.items() if errors and not retry}
    left |= needs.with_students([i for i in left if stands[i]["train"].state != "done"], runs)
    failures = {i: errors[0] for i, errors in failed.items() if errors and i not in left}
    untrained = {i: error for i, error in failures.items() if stands[i]["train"].state == "failed"}
    todo, orphans = needs.without_orphans([run_ for run_ in runs if run_.run_id in left], untrained)
    return todo, failures | orphans


def _jobs(options: argparse.Namespace, root: Path, runs: Sequence[Run], data_dir: Path) -> list["Job"]:
    from bench.launch.job import Job

    device = device_of(options)
    ranks, threads = ranks_of_a_run(options), threads_of(options, device)
    places, plugins = (root.resolve(), data_dir.resolve()), tuple(map(whole, options.plugin))
    return [
        Job(run_, *places, device, plugins, ranks, threads, options.keep_stale, options.tensorboard) for run_ in runs
    ]


def _on_slurm(options: argparse.Namespace, root: Path, runs: Sequence[Run], jobs: Sequence["Job"]) -> bool:
    """Submit; True once all is done (with --wait), False when the command should return now."""
    from bench.launch.slurm import submit

    try:
        ids = submit(jobs, slurm_options(options), root.resolve())
    except HalfSubmitted as refused:
        say_submitted(refused.ids)
        say_how_to_follow(options)
        raise
    say_submitted(ids)
    if options.wait:
        wait(root.resolve(), runs)
        return True
    say_how_to_follow(options)
    return False


def status(root: Path, runs: Sequence[Run]) -> int:
    states = collect(root.resolve(), runs)
    stands: dict[str, Mapping[Stage, Standing]] = {run_id: state.stands for run_id, state in states.items()}
    made = elsewhere.planned(root)
    say_stale({**stands, **made})
    for run_id, found in made.items():
        stand = found[elsewhere.STAGE]
        states[run_id] = SlurmState("ok" if stand.state == "done" else stand.state, None, stand.reason)
    for run_id, state in states.items():
        job = f"[Slurm {state.job}]" if state.job else ""
        untrained = run_id in stands and stands[run_id]["train"].state in ("missing", "stale")
        where = underway.where(root, run_id) if untrained else ""
        print("  ".join(filter(None, [f"{state.status:8} {run_id}", job, state.reason, where])))
    counts = Counter(state.status for state in states.values())
    say_lost(stands)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    trials = {run_.run_id for run_ in runs if run_.trial}
    return 1 if any(state.status == "failed" for run_id, state in states.items() if run_id not in trials) else 0


def report(root: Path, runs: Sequence[Run]) -> int:
    """Rebuild the report, and say what is unfinished."""
    say_unfinished(root, _rebuild(root, runs))
    return 0


def _rebuild(root: Path, runs: Sequence[Run]) -> Stands:
    """Rebuild tables, plots and the page from the records under root, once lost runs are among them.

    Returns where the stages stand that it is of.
    """
    if not (root / "runs").is_dir():
        raise UsageError(f"--report: there are no records in {root}; run the suite first, or name another --results")
    if not os.access(root, os.W_OK):
        raise UsageError(f"--report: {root} cannot be written; give a copy of it as --results")
    stands = {run_id: state.stands for run_id, state in collect(root.resolve(), runs).items()}
    remember(root)
    update_plan(root, runs, stands)
    for folder in (root, root / "plots"):
        sweep(folder)
    made_of = fresh.made_of(root)
    from bench.report.build import build

    written = build(root)
    fresh.mark(root, made_of)
    print(f"report: {root / 'report.html'} and {len(written) - 1} more files in {root}")
    return stands


def fetch(runs: Sequence[Run], data_dir: Path) -> int:
    from bench.datasets.mirrors import fetch as fetch_data

    wanted = {run_.dataset.model_dump_json(): run_.dataset for run_ in runs}
    for line in fetch_data(wanted.values(), data_dir):
        print(line)
    return 0
