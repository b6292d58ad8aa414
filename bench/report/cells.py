"""From the rows of a section to the cells of its table: a mean over seeds with its interval, or a hole with its reason.

A row is a variant of a baseline and how it was sampled; a column is a metric and every setting that its value depends
on: n, split, extractor, batch, solver of the likelihood, divergence, dequantisation, K, and the device for a clock.
Whatever key a measurement quotes splits its column, so numbers of different settings cannot meet by oversight.

A variant's headline row is that of the sampler that its records have first: the ODE of its velocity if it has one, else
the first of the model's own. Training and likelihood belong to the weights, and stand in that row alone.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pandas
from pandas import DataFrame, Series

from bench.metrics.metric import Facts, is_beside
from bench.papers.paper import published_numbers
from bench.report import numbers, vocabulary
from bench.report.beside import FLOOR_OF, FLOORS, ROW, exact_of, floors_of, is_at
from bench.report.budget import trained_with
from bench.report.comparable import FLOOR, asked_once, comparable, meeting
from bench.report.extract import KEYS, Extract, each
from bench.report.incidents import RUNNING, STALE, kinds, not_applicable, reasons
from bench.report.statistics import Interval, repeated, t_interval, within_runs

COLUMNS = [
    *KEYS, *ROW, "parameters", "steps", "samples", "evaluations", "stage", "metric", "settings", "mean", "half_width",
    "n", "planned", "repeats", "sampling_half", "of_fewer", "run_ids", "lost", "lost_to", "hole", "word", "at_floor",
    "own_density", "published", "published_source",
]  # fmt: skip
DEPENDS_ON = ["settings", "n", "stage", "metric", "device", "device_count"]  # of a row, whether it is comparable
OF_CELL = ["variant", "metric", "comparable", "sampler", "batch", "run_id", "value", "stderr", "parsed", "own_density"]
WORDS = {"failed": "failed", "missing": "not run", STALE: "stale", RUNNING: "unfinished"}


def measured(section: Extract) -> DataFrame:
    """Finished measurements that have a column, with its settings (`comparable`), and what their row goes by."""
    frame = section.frame
    shown = (frame.status == "ok") & frame.metric.map(lambda name: is_beside(name) or bool(section.about(name).group))
    shown &= frame.stage.isin(["train", "likelihood", "samples"]) & frame.step.isna()
    shown &= (frame.metric != "peak_memory_bytes") | (frame.stage == "train")
    found = frame[shown]
    drawn = (found.stage == "samples") & ~found.metric.map(is_beside).astype(bool)
    ways: list[Any] = [settings if by else {} for settings, by in zip(found.parsed, drawn, strict=True)]
    found = found.assign(
        comparable=asked_once(found, DEPENDS_ON, comparable),
        sampler=[vocabulary.solver(way) for way in ways],
        # What was solved together, on which the NFE of an adaptive solver depends.
        batch=["".join(vocabulary.words({"batch": way.get("batch")})) for way in ways],
    )
    first = found[drawn].drop_duplicates("variant").set_index("variant")
    as_first = (found.sampler == found.variant.map(first.sampler)) & (found.batch == found.variant.map(first.batch))
    return meeting(found.assign(is_headline=as_first | ~drawn), "comparable")


def cells(section: Extract, found: DataFrame) -> DataFrame:
    """One row a cell of the headline table of a section, with the columns COLUMNS, from what was `measured` of it.

    `lost` counts seeds whose value could not be had; `hole` says why there is no mean, or why some are lost, and `word`
    stands for it in a table. What the data itself scores is a row of its own with the baseline "floor", whose interval
    is that of one more set of as many data; `at_floor` are means that are not beyond it. The interval of a single seed
    is that of its `repeats`, if it has any; of several seeds `sampling_half` is that of the repeats of one of them.
    Where less data is fresh than there are samples, the floor is one of `of_fewer` (else 0), which marks no mean.
    """
    published = published_numbers()
    if section.protocol == "smoke":  # beside whose numbers a published one could only mislead
        published = published.iloc[:0]
    columns = _columns(found[~not_applicable(found)])
    beside = cache(partial(_published_for, published, section.dataset))
    floored = floors_of(found, columns, beside)
    floors = {(row["stage"], row["metric"], row["settings"]): row for row in floored if not row["of_fewer"]}
    made = [*floored, *exact_of(found, columns)]
    of_cells: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    of_cell = found[OF_CELL].assign(reason=reasons(found), is_skipped=not_applicable(found))
    for value in each(of_cell):
        of_cells[value.variant, value.metric].append(value)
    for row in _rows(section, found):
        for stage, metric, settings in columns:
            if not row["is_headline"] and stage != "samples":
                continue
            values = of_cells[row["variant"], metric]
            values = [value for value in values if value.comparable == settings or value.is_skipped]
            if stage == "samples":
                values = [v for v in values if (v.sampler, v.batch) == (row["sampler"], row["batch"])]
            cell = row | {"stage": stage, "metric": metric, "settings": settings}
            cell |= beside(row["baseline"], metric, settings) | _statistics(section, row["variant"], stage, values)
            floor, better = floors.get((stage, metric, settings)), section.about(metric).direction
            made.append(cell | {"at_floor": bool(floor) and is_at(cell["mean"], floor, better)})
    identity: dict[str, Any] = dict(zip(KEYS, section.identity, strict=True))
    frame = DataFrame(made, columns=COLUMNS).assign(**identity)
    return frame.astype({"is_headline": bool, "own_density": bool, "at_floor": bool})


def _columns(found: DataFrame) -> list[tuple[str, str, str]]:
    unique = found[~found.metric.map(is_beside).astype(bool)][["stage", "metric", "comparable"]].drop_duplicates()
    return sorted(unique.itertuples(index=False, name=None), key=lambda c: (vocabulary.order(c[1]), c[2]))


def _rows(section: Extract, found: DataFrame) -> list[dict[str, Any]]:
    """The headline row of every variant, one more for each further way its samples were drawn."""
    rows = []
    ways = found[found.sampler != ""].drop_duplicates(["variant", "sampler", "batch"])
    ways = ways.sort_values("is_headline", ascending=False, kind="stable")
    trained = trained_with(section)
    for variant, label in section.labels.items():
        baseline = section.frame.baseline[section.frame.variant == variant].iloc[0]
        about = {"baseline": baseline, "label": label, "variant": variant, **trained[variant]}
        drawn = ways[ways.variant == variant][["sampler", "batch", "is_headline"]].to_dict("records")
        rows += [{**about, **way} for way in drawn or [{"sampler": "", "batch": "", "is_headline": True}]]
    return rows


def _statistics(section: Extract, variant: str, stage: str, values: Sequence[Any]) -> dict[str, Any]:
    """The mean over runs of the values of one cell, rows of OF_CELL; or the hole in their place."""
    known = [value for value in values if not pandas.isna(value.value)]
    of_runs: defaultdict[str, list[float]] = defaultdict(list)
    for value in known:
        of_runs[value.run_id].append(value.value)
    runs = sorted(of_runs)
    without = [value for value in values if value.run_id not in of_runs]
    lost = [value for value in without if not value.is_skipped]
    hole = "; ".join(dict.fromkeys(value.reason for value in without))
    found: dict[str, Any] = {"run_ids": tuple(runs), "lost": len({value.run_id for value in lost})}
    found |= {"lost_to": kinds(value.reason for value in lost), "repeats": 1, "of_fewer": 0, "sampling_half": math.nan}
    found["own_density"] = any(value.own_density for value in values)
    if runs:
        interval = t_interval(t_interval(of_runs[run]).mean for run in runs)
        if len(runs) == 1:
            stderr, m = known[0].stderr, int(known[0].parsed.get("repeats", 1))
            interval, found["repeats"] = interval._replace(half_width=repeated(stderr, m)), m
        elif values[0].parsed.get("stacked"):  # shares of one clock, whose spread says nothing
            interval = interval._replace(half_width=math.nan)
        found["sampling_half"] = within_runs([v.stderr for v in known], int(known[0].parsed.get("repeats", 1)))
        return {**interval._asdict(), **found, "hole": hole, "word": ""}
    incidents = section.incidents_at(variant, stage) if not hole else []
    hole = hole or "; ".join(dict.fromkeys(incident.reason for incident in incidents)) or "not measured"
    word = next((WORDS[incident.status] for incident in incidents if incident.status in WORDS), "")
    return {"mean": math.nan, "half_width": math.nan, "n": 0, **found, "hole": hole, "word": found["lost_to"] or word}


def _published_for(printed: DataFrame, dataset: str, baseline: str, metric: str, settings: str) -> dict[str, Any]:
    """The published value and where it comes from; of bits/dim that of the same K."""
    rows = printed[printed.beside & (printed.dataset == dataset)]
    rows = rows[(rows.method == baseline) & (rows.metric == metric)]
    rows = rows[rows.draws.isna() | (rows.draws == json.loads(settings).get("draws"))]
    if rows.empty:
        return {"published": math.nan, "published_source": ""}
    row: Series[Any] = rows.iloc[0]
    detail = "; ".join(part for part in (row.settings, row.note) if part)
    source = f"{row.source} {row.table}" + f" ({detail})" * bool(detail)
    return {"published": row.value, "published_source": source}


def headline(sections: Iterable[Any]) -> DataFrame:
    tables = [section.cells for section in sections if len(section.cells)]
    return pandas.concat(tables or [DataFrame(columns=COLUMNS)], ignore_index=True)


@dataclass(frozen=True)
class Scores:
    """Means of one metric by variant, for what figures say in words, in the unit of the metric's header."""

    metric: str
    settings: str
    about: Facts
    values: dict[str, Interval]
    floor: float | None
    floor_half: float = math.nan

    def text(self, variant: str) -> str:
        """ "NLL 3.70 ± 0.02", or nothing where the variant has no value."""
        value = self.values.get(variant)
        return f"{self.about.title} {numbers.measured(*value[:2])}" if value else ""


def floor_text(metric: str, floor: float) -> str:
    """What the data itself scores, in words: "exact density 3.466", "as many data 9.312"."""
    if metric in FLOOR_OF:
        return f"{FLOORS[0]} {numbers.fixed(floor, 3)}"
    return f"{FLOORS[1]} {numbers.plain(floor, 4 if abs(floor) >= 0.001 else 1)}"


def scored(table: DataFrame, metric: str, settings: str, about: Facts) -> Scores:
    """The means of the headline rows, and of the floor, in one column of a table of cells."""
    column = table[(table.metric == metric) & (table.settings == settings) & (table.n > 0)]
    floors = column[(column.baseline == FLOOR) & (column.of_fewer == 0)]
    chosen = column[column.is_headline]
    values = {
        variant: Interval(mean / about.divide, half / about.divide, int(n))
        for variant, mean, half, n in zip(chosen.variant, chosen["mean"], chosen.half_width, chosen.n, strict=True)
        if math.isfinite(mean)
    }
    floor = (float(floors["mean"].iloc[0]), float(floors.half_width.iloc[0])) if len(floors) else (None, math.nan)
    return Scores(metric, settings, about, values, *floor)
