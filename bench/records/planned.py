"""The plan of a folder of results, plan.json: what was asked for, what of it is current, and which records are stale.

A run is current if its settings are those that the last plan asked for of its protocol, dataset and baseline: a call
that is narrowed to some of them replaces what it names and leaves the rest.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.config.registry import baselines
from bench.config.settings import Stage
from bench.config.suite import Run
from bench.identity.identity import code
from bench.records import elsewhere
from bench.records.locks import locked
from bench.records.reading import read_planned
from bench.records.records import cell, identity_of, stands
from bench.records.seal import read_json, write_json
from bench.records.standing import OTHER_SETTINGS, Standing, Stands, curve


def write_plan(root: Path, about: str, runs: Iterable[Run], standing: Stands | None = None) -> None:
    """Add runs, whose stages stand as they do, to the plan of the folder; the report shows those without a record as
    missing.

    What was planned before for the same protocol, dataset and baseline with other settings is current no more. The plan
    names the records that are stale. Nothing is written where it says all that already.
    """
    runs = list(runs)
    known = {run.run_id: (standing or {}).get(run.run_id) or stands(root, run) for run in runs}
    asked_for = {run.run_id: _entry(run, known[run.run_id]) for run in runs}
    for run in runs:
        if run.tune and (beside := asked_for.get(run.model_copy(update={"tune": None}).run_id)):
            beside["tuning"] = "untuned"

    def planned(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        by_id = {entry["run_id"]: entry for entry in entries}
        # A label stays what it was first.
        by_id |= {i: {**entry, "label": by_id.get(i, entry)["label"]} for i, entry in asked_for.items()}
        return marked([_refreshed(root, entry) for entry in by_id.values()], {run.variant for run in runs})

    _rewrite(root, planned, about)


def _entry(run: Run, stages: Mapping[Stage, Standing]) -> dict[str, Any]:
    return {
        **identity_of(run),
        "label": run.title(baselines[run.baseline.name].label),
        "stages": list(run.stages),
        "steps": run.training.steps,
        "asked": {stage: run.fingerprint(stage) for stage in run.stages},
        "config": run.model_dump(mode="json"),
        "curve": curve(run),
        "outdated": _outdated(stages),
    }


def plan_elsewhere(root: Path, about: str, made: elsewhere.Elsewhere) -> None:
    """Add samples made elsewhere to the plan of the folder; others of the same label are current no more."""

    def planned(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        others = [entry for entry in entries if entry["run_id"] != made.run_id]
        return marked([*others, made.entry], {made.variant})

    _rewrite(root, planned, about)


def update_plan(root: Path, runs: Iterable[Run], standing: Stands) -> None:
    """Have the plan name the records of its runs that are stale by now, where it can be written."""
    known = {run.run_id: run for run in runs}

    def updated(entry: dict[str, Any]) -> dict[str, Any]:
        run = known.get(entry["run_id"])
        if entry.get("elsewhere"):
            return _refreshed(root, entry)
        if run is None or code(run, "train") is None:  # without its plugin nobody knows
            return entry
        return {**entry, "outdated": _outdated(standing[run.run_id]), "curve": curve(run)}

    with suppress(OSError):
        _rewrite(root, lambda before: [updated(entry) for entry in before])


def _refreshed(root: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry itself, or that of samples made elsewhere with whether its record is stale by now."""
    if not entry.get("elsewhere"):
        return entry
    return {**entry, "outdated": _outdated({elsewhere.STAGE: elsewhere.stand(root, entry)})}


def _rewrite(
    root: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], about: str | None = None
) -> None:
    """Change the entries of the plan; without a change nothing is written or locked."""
    before = read_planned(root)[0]
    if before and change(before) == before:
        return
    with locked(root / ".plan.lock"):
        if entries := change(read_planned(root)[0]):
            about = read_about(root) if about is None else about
            write_json(root / "plan.json", {"about": about, "runs": entries})


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of the files that the plan's runs were given, by whole path: as the current ones had it, if any did."""
    found: dict[str, str] = {}
    for entry in sorted(read_planned(root)[0], key=lambda entry: entry.get("current") is not False):
        config = entry.get("config") or {}
        if not any(config.get(f"{what}_sha256") for what in ("teacher", "weights", "extractors")):
            continue
        try:
            run = Run.model_validate(config)
        except ValidationError:  # of samples made elsewhere, or of another edition
            continue
        teacher = {run.baseline.options.get("teacher"): run.teacher_sha256}
        samples = run.evaluation.samples
        weights = {by.name: by.weights for by in (samples and samples.extractors) or ()}
        extractors = {weights.get(name): digest for name, digest in run.extractors_sha256.items()}
        named = {**teacher, run.training.weights: run.weights_sha256, **extractors}
        found |= {path: digest for path, digest in named.items() if path and digest}
    return found


def read_about(root: Path) -> str:
    """What the plan says of its suite; what is wrong with the plan is said where its runs are read."""
    with suppress(OSError, ValueError):
        return str(read_json(root / "plan.json").get("about") or "")
    return ""


def _outdated(stages: Mapping[Stage, Standing]) -> dict[str, dict[str, str]]:
    """What the plan says of stale records: by stage when they were finished, and why they are stale."""
    return {
        stage: {"finished": found.finished, "reason": found.reason}
        for stage, found in stages.items()
        if found.state == "stale" and found.reason != OTHER_SETTINGS
    }


def marked(entries: Iterable[Mapping[str, Any]], variants: Collection[str]) -> list[dict[str, Any]]:
    """The entries of a plan, once `variants` are what is asked for of their protocol, dataset and baseline."""
    asked_for = {cell(entry) for entry in entries if entry["variant"] in variants}

    def current(entry: Mapping[str, Any]) -> bool:
        return entry["variant"] in variants if cell(entry) in asked_for else entry.get("current") is not False

    return [{**entry, "current": current(entry)} for entry in entries]
