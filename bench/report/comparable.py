"""The one rule of which numbers are compared, by tables, figures and verdicts alike.

Numbers meet if they share every setting that they depend on (`comparable`): such settings are a column of a table. If a
metric was measured under several, figures and verdicts compare under those that most variants share (`settled`); among
equals an adaptive solver goes before a fixed-step one, more draws before fewer, and what has more values first. What
the rule drops is said on the page (`left_out`).
"""

import json
import math
from typing import TYPE_CHECKING, Any

from bench.report.sections import Section, each, listed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

WAYS = {"sampler", "solver", "steps", "rtol", "atol", "grid", "rho", "last_step", "options"}  # what a line joins
CLOCKS = ("train_seconds", "sampling_seconds", "likelihood_seconds", "peak_memory_bytes")
FLOOR = "floor"  # the baseline of what the data itself scores


def comparable(row: Any) -> str:
    """The settings that two values must share to stand in one column, as JSON; how a sample was drawn is its row."""
    settings = _without(row, {*WAYS, "batch"} if row.stage == "samples" else set())
    if row.metric in CLOCKS:
        settings["device"] = row.device if (row.device_count or 1) == 1 else f"{row.device_count:.0f} x {row.device}"
    return json.dumps(settings, sort_keys=True)


def _without(row: Any, keys: set[str]) -> dict[str, Any]:
    settings = {key: value for key, value in row.parsed.items() if key not in keys}
    return settings | ({} if row.n is None or math.isnan(row.n) else {"n": int(row.n)})


def settled(keys: "Series[str]", variants: "Series[str]") -> str | None:
    """The settings that most variants have a value under; None of no values."""
    found = keys.groupby(keys).size()
    shared = variants.groupby(keys).nunique()

    def rank(settings: str) -> tuple[int, bool, float, int]:
        parsed = json.loads(settings)
        draws = parsed.get("draws")
        return shared[settings], "rtol" in parsed, draws if isinstance(draws, int | float) else 0, found[settings]

    return max(sorted(found.index), key=rank, default=None)


def of_one_kind(rows: "DataFrame") -> "DataFrame":
    """The rows of a curve or sweep under the settings that are settled: a line never joins numbers of others."""
    if rows.empty:
        return rows
    rows = rows.assign(kind=[json.dumps(_without(row, WAYS), sort_keys=True) for row in each(rows)])
    return rows[rows.kind == settled(rows.kind, rows.variant)]


def settled_cells(cells: "DataFrame", metric: str, draws: int | None = None) -> str | None:
    """The settings of a metric that are settled among a section's cells, in the variants' own rows.

    Args:
        draws: the K that is asked for, of which alone settings are then taken.
    """
    mine = cells[(cells.metric == metric) & (cells.n > 0) & (cells.baseline != FLOOR) & ~cells.native.astype(bool)]
    if draws is not None:
        mine = mine[[json.loads(settings).get("draws") == draws for settings in mine.settings]]
    return settled(mine.settings, mine.variant)


def left_out(section: Section, cells: "DataFrame") -> list[str]:
    """What the rule drops of a section, a sentence each.

    Args:
        cells: those of the section.
    """
    said = []
    own = cells[(cells.n > 0) & (cells.baseline != FLOOR) & ~cells.native.astype(bool)]
    for metric, of in own.groupby("metric"):
        kept = set(of.variant[of.settings == settled_cells(of, str(metric))])
        if without := [label for variant, label in section.labels.items() if variant in set(of.variant) - kept]:
            title = section.about(str(metric)).title
            said.append(f"{section.name}: {listed(without)} has no {title} under the settings that most variants share")
    for what, rows in (("the course of training", section.curve), ("the sweep", section.sweep)):
        for metric, of in rows.groupby("metric"):
            if dropped := len(of) - len(of_one_kind(of)):
                title = section.about(str(metric)).title
                said.append(f"{section.name}: {dropped} values of {title} in {what} are of other settings than most")
    return [f"{sentence}: left out of figures and verdicts" for sentence in said]
