"""The one rule of which numbers are compared, by tables, figures and verdicts alike.

Numbers meet if they share every setting that they depend on (`comparable`): such settings are a column of a table. A
density of a model's own is as exact as one by the ODE, and meets it if they share all that is not the solver's
(`meeting`); a bound is a metric of its own and meets neither. Samples made elsewhere, of whose model nothing is known,
meet those of any model if they share the rest. If a metric was measured under several settings, figures
and verdicts compare under those that most variants share (`settled`); among equals an adaptive solver goes before a
fixed-step one, more draws before fewer, and what has more values first. What the rule drops is said on the page.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from pandas import DataFrame, Series, concat

from bench.records.measurement import ELSEWHERE
from bench.report.extract import each

ACCURACY = {"steps", "rtol", "atol", "grid", "rho", "last_step"}
OF_SAMPLER = {"sampler", "solver", *ACCURACY, "guidance", "options"}  # what a line joins
OF_MODEL = {*OF_SAMPLER, "batch", "weights", "labels", "repeats"}  # how samples are drawn
OF_DENSITY = {*OF_SAMPLER, "density", "divergence", "probes"}  # how a likelihood is had, beside what it is of
CLOCKS = ("train_seconds", "sampling_seconds", "likelihood_seconds", "peak_memory_bytes")
FLOOR = "floor"  # the baseline of what the data itself scores
EXACT_FIELD = "exact"  # and of what the exact field of a path has
OF_DATA = (FLOOR, EXACT_FIELD)
FLOOR_ALONE = {
    "density",
    "floor_split",
    "repeats",
    "path",
}  # settings that say what a floor is, and are not its column's


def comparable(row: Any) -> str:
    """The settings that two values must share to stand in one column, as JSON; how a sample was drawn is its row."""
    settings = settings_without(row, {*OF_SAMPLER, "batch"} if row.stage == "samples" else set())
    if row.metric in CLOCKS:
        settings["device"] = machine(row)
    return json.dumps(settings, sort_keys=True)


def machine(row: Any) -> str:
    """What a row's seconds were taken on: "cpu (AMD EPYC)", "4 x cuda"."""
    return str(row.device) if (row.device_count or 1) == 1 else f"{row.device_count:.0f} x {row.device}"


def asked_once(rows: DataFrame, columns: list[str], of: Callable[[Any], str]) -> list[str]:
    """What `of` says of each row, asked once of all that share the `columns` that its answer depends on."""
    kinds = rows.groupby(columns, sort=False, dropna=False).ngroup()
    is_first = ~kinds.duplicated()
    answers = dict(zip(kinds[is_first], map(of, each(rows[is_first])), strict=True))
    return [answers[kind] for kind in kinds]


def settings_without(row: Any, keys: set[str]) -> dict[str, Any]:
    """The settings of a row but for those of `keys`, and its n."""
    settings = {key: value for key, value in row.parsed.items() if key not in keys}
    return settings | ({} if row.n is None or math.isnan(row.n) else {"n": int(row.n)})


def is_under(floor: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether a floor's settings are those of what it is the floor of, which may have more: weights, solver, batch."""
    return all(settings.get(key) == value for key, value in floor.items() if key not in FLOOR_ALONE)


def meeting(rows: DataFrame, key: str) -> DataFrame:
    """The rows with those by a model's own density, marked `own_density`, under each `key` by an ODE that they meet.

    Those made elsewhere stand under each `key` of a model's samples that they meet.
    """
    rows = rows.assign(own_density=[settings.get("density") == "own" for settings in rows.parsed])
    rows = _met(rows, key, lambda settings: settings.get("density") == "own", "solver", OF_DENSITY)
    return _met(rows, key, lambda settings: settings.get("sampler") == ELSEWHERE, "sampler", OF_MODEL)


def _met(
    rows: DataFrame, key: str, is_guest: Callable[[dict[str, Any]], bool], of_hosts: str, left_out: set[str]
) -> DataFrame:
    """The rows, guests under each `key` of a host, which quotes `of_hosts`, that shares all settings not left out."""
    guests = Series([is_guest(settings) for settings in rows.parsed], rows.index, dtype=bool)
    if not guests.any():
        return rows
    rows = rows.assign(of=rows[key].map({text: _text_without(text, left_out) for text in rows[key].unique()}))
    hosts = Series([of_hosts in settings for settings in rows.parsed], rows.index, dtype=bool) & ~guests
    keys = rows[hosts][["metric", "of", key]].drop_duplicates()
    own = rows[guests].merge(keys, on=["metric", "of"], how="left", suffixes=("_own", ""))
    own[key] = own[key].fillna(own[f"{key}_own"])
    return concat([rows[~guests], own], ignore_index=True)[[*rows.columns.drop("of")]]


def _text_without(text: str, left_out: set[str]) -> str:
    return json.dumps({name: value for name, value in json.loads(text).items() if name not in left_out})


def settled(keys: "Series[str]", variants: "Series[str]") -> str | None:
    """The settings that most variants have a value under; None of no values."""
    values, shared = keys.groupby(keys).size(), variants.groupby(keys).nunique()

    def rank(settings: str) -> tuple[int, bool, float, int]:
        parsed = json.loads(settings)
        draws = parsed.get("draws")
        return shared[settings], "rtol" in parsed, draws if isinstance(draws, int | float) else 0, values[settings]

    return max(sorted(values.index), key=rank, default=None)


def of_one_kind(rows: DataFrame) -> DataFrame:
    """The rows of a curve or sweep under the settings that are settled, and all that was lost (NaN)."""
    if rows.empty:
        return rows
    kinds = asked_once(
        rows, ["settings", "n"], lambda row: json.dumps(settings_without(row, OF_SAMPLER), sort_keys=True)
    )
    rows = rows.assign(kind=kinds, number=range(len(rows)))
    known = meeting(rows[rows.value.notna()], "kind")
    kept = known.number[known.kind == settled(known.kind, known.variant)]
    return rows[rows.number.isin(kept) | rows.value.isna()]
