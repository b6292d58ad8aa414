"""Where a stage of a run stands: its record is what is asked for, or why it is not. The one place that decides.

done      measured under today's settings, by today's source, from today's inputs
stale     measured, under other settings, by older source or from other inputs: it is measured again
failed    failed, under today's settings and source: it is left alone until `--retry`
missing   not run
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from bench.config.settings import Stage
from bench.config.suite import Run
from bench.errors import is_lost
from bench.identity import identity, inputs

State = Literal["done", "stale", "failed", "missing"]
Stands = Mapping[str, Mapping[Stage, "Standing"]]  # of every stage of runs, by run_id
OTHER_SETTINGS = "measured under other settings"
OLDER_CODE = "measured by older code"
OTHER_CURVE = "its curve was measured under another evaluation"


@dataclass(frozen=True)
class Standing:
    """The state of a stage: why it is stale, or its error, and when its record was finished.

    `older_curve` is whether the curve in the record was measured under another evaluation; `lost` are the measurements
    of one that is done without a value that they could have, metric and reason.
    """

    state: State
    reason: str = ""
    finished: str = ""
    older_curve: bool = False
    lost: tuple[tuple[str, str], ...] = ()

    @property
    def of_older_code(self) -> bool:
        return self.state == "stale" and self.reason.startswith(OLDER_CODE)


def of(record: Mapping[str, Any] | None, run: Run, stage: Stage, root: Path | None = None) -> Standing:
    """Where a stage stands with its record; the folder of the results remembers what touched files were found to be."""
    older_curve = record is not None and stage == "train" and is_older_curve(record, curve(run))
    found = judged(record, run.fingerprint(stage), identity.code(run, stage), root, older_curve)
    if run.trial and older_curve and found.state == "done":  # the end of its curve is all that a trial is for
        return Standing("stale", OTHER_CURVE, found.finished, older_curve)
    return found


def judged(
    record: Mapping[str, Any] | None,
    fingerprint: str,
    now: identity.Code | None,
    root: Path | None = None,
    older_curve: bool = False,
) -> Standing:
    """The same of a record that is to quote this fingerprint, by what its source is now (None if not known)."""
    if record is None:
        return Standing("missing")
    finished, older = str(record.get("finished")), older_code(record, now)
    # A record that is not sound cannot say which evaluation it was of.
    same = record.get("fingerprint") in (None, fingerprint)
    if record["status"] == "failed":
        return Standing("failed", str(record["error"])) if same and not older else Standing("missing")
    if not same:
        return Standing("stale", OTHER_SETTINGS, finished)
    if older:
        return Standing("stale", older, finished, older_curve)
    if changed := inputs.changed(record.get("inputs") or {}, root):
        return Standing("stale", f"measured from another {changed[0]}", finished, older_curve)
    lost = tuple((row["metric"], row["reason"]) for row in record["measurements"] if is_lost(row.get("reason")))
    # A record that is asked for again is bench/records/retries.py's.
    return Standing("missing" if record.get("again") else "done", "", finished, older_curve, lost)


def older_code(record: Mapping[str, Any], now: identity.Code | None) -> str:
    """Why the source that a record says is not today's; "" where it is, or where one of the two is not known."""
    was = record.get("code")
    if now is None or was is None or now.digest in (was, *(record.get("vouched") or ())):
        return ""
    names = _changed(tuple((record.get("sources") or {}).items()), tuple(now.parts.items()))
    return OLDER_CODE + (f" ({names})" if names else "")


@lru_cache(maxsize=1024)
def _changed(was: tuple[tuple[str, str], ...], now: tuple[tuple[str, str], ...]) -> str:
    """What many records of one stage of one method were measured by, and is not so now."""
    return identity.changed(dict(was), dict(now))


def described(run: Run, stage: Stage) -> dict[str, Any]:
    """What a record says of the source behind it."""
    code = identity.code(run, stage)
    if code is None:
        return {}
    facts = {"code": code.digest, "sources": code.parts, "plugins": identity.plugins(run)}
    return {**facts, "curve": curve(run)} if stage == "train" else facts


def curve(run: Run) -> str | None:
    """Identity of what a training measures on its way; None where its source is not known."""
    code = identity.code(run, "curve") if run.training.curve_points else None
    return f"{run.curve_settings}-{code.digest}" if code else None


def is_older_curve(record: Mapping[str, Any], now: str | None) -> bool:
    """Whether the curve in a training's record was measured under another evaluation than today's."""
    known = (record.get("curve"), *(record.get("vouched") or ()))
    return record["status"] in ("ok", "running") and None not in (now, known[0]) and now not in known


def parts_folder(run: Run, stage: Stage) -> str:
    """Name of the folder of a stage's parts under way: those under other settings or by other source are not used."""
    code = identity.code(run, stage)
    return "-".join(["partial", run.fingerprint(stage), *([code.digest[:8]] if code else []), stage])
