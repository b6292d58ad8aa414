"""What papers print and what is measured of it, cell by cell: one row a method, its variant and a metric.

Which rows and columns a table has is the paper's to say (bench/papers/paper.py). Methods stand in its order, others
after them. A difference is taken only of like with like, and of nothing of a smoke run; what is printed with its
deviation over seeds is judged (bench/report/reproduced.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pandas import DataFrame, Series, concat

from bench.metrics.metric import is_beside
from bench.papers.paper import DEFAULT, REFERENCE, Paper, Table, known, options_of
from bench.report.comparable import FLOOR
from bench.report.extract import each
from bench.report.reproduced import JUDGED, judged
from bench.report.sections import Section
from bench.report.variants import Config, apart
from bench.report.variants import settings as in_words

Column = tuple[str, int | None]  # a metric, of K draws if K is part of what it is
MEASURED = ["mean", "half_width", "n", "lost", "lost_to", "lost_points", "of_points", "settings", "run_ids", "hole"]
PRINTED = {
    "value": "published", "std": "published_std", "n_seeds": "published_n", "settings": "published_settings",
    "note": "published_note", "draws": "published_draws",
}  # fmt: skip
WITHOUT = {
    "n": 0, "lost": 0, "lost_to": "", "lost_points": 0, "of_points": 0, "settings": "", "hole": "not run",
    "published_settings": "", "published_note": "",
}  # fmt: skip
COLUMNS = [
    *("paper", "table", "title", "suite", "protocol", "dataset", "setting", "method", "baseline", "label", "variant"),
    *("other", "itself", "metric", "draws"),
    *(name for name in PRINTED.values() if name != "published_draws"),
    *("difference", *JUDGED),
    *MEASURED,
]


@dataclass(frozen=True)
class Printed:
    """A table of a paper as far as a section has a place in it.

    Attributes:
        section: without samples that were drawn otherwise than those of the table.
        columns: cells in the columns COLUMNS, a row per method and variant, the same ones for each.
    """

    paper: Paper
    table: Table
    section: Section
    columns: dict[Column, DataFrame]

    @property
    def cells(self) -> DataFrame:
        return concat(self.columns.values()).sort_index(kind="stable")


def printed_tables(section: Section, published: DataFrame, configs: Mapping[str, Config]) -> list[Printed]:
    """The tables of all papers that the section has a place in; `configs` tell which printed method a variant is.

    Where some papers print numbers of the section's data, those that print none have no place.
    """
    found: list[Printed] = []
    for paper, table in [(one, table) for one in known() for table in one.tables]:
        dataset = table.datasets.get(section.dataset) if table.datasets else section.dataset
        own = (published.paper == paper.folder.name) & (published.source == paper.source)
        printed = published[own & (published.table == table.name) & (published.dataset == dataset)]
        if (table.task == "super-resolution") != section.is_super_resolution or not (table.everywhere or len(printed)):
            continue
        part = _only(section, table.settings) if table.settings else section
        if len(part.frame) and (columns := _columns(paper, table, part, printed, configs)):
            found.append(Printed(paper, table, part, columns))
    printing = {one.paper.source for one in found if one.cells.published.notna().any()}
    return [one for one in found if not printing or one.paper.source in printing]


def _columns(
    paper: Paper, table: Table, section: Section, printed: DataFrame, configs: Mapping[str, Config]
) -> dict[Column, DataFrame]:
    """Tidy cells, one per method, of all that the table names and that is measured or printed."""
    names = [section.metric(name) for name in table.columns]
    kept = {*section.frame.metric, *printed.metric}
    columns: list[Column] = [(name, None) for name in names if name and name in kept]
    if table.by_draws:
        of_names = section.frame[section.frame.metric.isin(names)]
        draws = sorted({settings["draws"] for settings in of_names.parsed if "draws" in settings})
        columns = [(name, k) for name, _ in columns for k in draws] if len(draws) > 1 else []
    methods = _methods(paper, table, section, printed, configs)
    place = {"paper": paper.folder.name, "table": table.name, "title": table.title}
    place |= {"suite": section.suite, "protocol": section.protocol}
    place |= {"dataset": section.dataset, "setting": section.setting}
    return {
        (metric, k): judged(_cells(section, methods, printed, metric, k, metric in table.strict)).assign(**place)[
            COLUMNS
        ]
        for metric, k in columns
    }


def _methods(
    paper: Paper, table: Table, section: Section, printed: DataFrame, configs: Mapping[str, Config]
) -> DataFrame:
    """Name in the paper ("" for none), baseline, label and variant of what was run, and of what is only printed.

    Several variants of a printed method are called by what differs from its first in the frame, `other`; what the first
    has is `itself`. A setting that is not the paper's own is named, even of a single variant. Beside what is printed
    with its deviation, what the data itself scores has a row, too.
    """
    labels, place = {REFERENCE: "Reference", **paper.methods}, list(section.labels)
    firsts: dict[str, list[str]] = {}  # and those after them
    rows = []
    for run in each(section.frame.drop_duplicates("variant")):
        config = configs.get(run.variant, {})
        method = paper.method(run.baseline, options_of(config))
        alike = firsts.setdefault(method, [])
        alike.append(run.variant)
        label, other = section.labels[run.variant], ""
        if method in labels and alike[1:]:
            other = apart(run.variant, alike[:1], configs) or label
        if method in labels:
            unlike = in_words(paper.unlike(table, run.baseline, config))
            own = [f"default {key}" if value == DEFAULT else f"{key} = {value}" for key, value in unlike]
            other = ", ".join(filter(None, [*(name for name in own if name not in other), other]))
            label = ", ".join(filter(None, (labels[method], other)))
        rows.append((method, run.baseline, label, run.variant, other))
    only = [name for name in dict.fromkeys(printed.method) if name not in firsts]
    rows += [(name, name, labels.get(name, name), "", "") for name in only]
    order = table.rows or tuple(paper.methods)
    rows.sort(key=lambda row: (order.index(row[0]), 0) if row[0] in order else (len(order), [*place, ""].index(row[3])))
    floors = section.cells[section.cells.baseline == FLOOR]
    if len(floors) and REFERENCE not in firsts and REFERENCE not in only and printed["std"].notna().any():
        rows.append((REFERENCE, FLOOR, str(floors.label.iloc[0]), "", ""))
    found = DataFrame(rows, columns=["method", "baseline", "label", "variant", "other"])
    of_firsts = {variants[0]: apart(variants[0], variants[1:], configs) for variants in firsts.values()}
    return found.assign(itself=found.variant.map(of_firsts).fillna(""))


def _cells(
    section: Section, methods: DataFrame, printed: DataFrame, metric: str, draws: int | None, strict: bool
) -> DataFrame:
    """The cells of a column, a row per method, under the settings that most variants share but for their weights."""
    ours = section.cells[section.cells.metric == metric]
    ours = ours[ours.is_headline | ((ours.baseline == FLOOR) & (ours.of_fewer == 0))]
    settings = section.settled(metric, draws)
    ours = ours.loc[[_but_for_weights(text) == _but_for_weights(settings or "{}") for text in ours.settings]]
    if FLOOR not in set(methods.baseline):
        ours = ours.assign(baseline=ours.baseline.replace(FLOOR, REFERENCE))
    ours = ours.loc[(ours.settings != settings).sort_values(kind="stable").index].drop_duplicates(
        ["baseline", "variant"]
    )
    theirs = printed[(printed.metric == metric) & ((printed.draws == draws) | (not draws))]
    theirs = theirs.drop_duplicates("method").rename(columns=PRINTED)[["method", *PRINTED.values()]]
    cells = methods.merge(ours[["baseline", "variant", *MEASURED]], on=["baseline", "variant"], how="left")
    cells = cells.merge(theirs, on="method", how="left").fillna(WITHOUT)
    cells["run_ids"] = [runs if isinstance(runs, tuple) else () for runs in cells.run_ids]
    measured_draws = [json.loads(text).get("draws") if text else draws for text in cells.settings]
    # Like with like: bits/dim of one K, and what depends on all of a protocol under that protocol.
    compared = section.protocol == "paper" or (section.protocol != "smoke" and not strict)
    cells = cells.assign(metric=metric, draws=Series(measured_draws, dtype=float))
    alike = cells.published_draws.isna() | (cells.published_draws == cells.draws)
    difference = (cells["mean"] - cells.published).where(alike & compared)
    return cells.assign(difference=difference).astype({"n": int, "lost": int})


def _but_for_weights(settings: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(settings).items() if key != "weights"}


def _only(section: Section, settings: dict[str, Any]) -> Section:
    """The section without samples that were drawn or measured otherwise; without any if it has no such sample.

    Those of a sweep stand in for samples that no run has. Of what the data itself scores, which no sampler draws, only
    its number counts.
    """
    frame = section.frame
    wanted = [{"n": settings.get("n", row.n)} if is_beside(row.metric) else settings for row in each(frame)]
    fits = [{**row.parsed, "n": row.n}.items() >= of.items() for row, of in zip(each(frame), wanted, strict=True)]
    is_wanted, of_data = Series(fits, frame.index, dtype=bool), frame.metric.map(is_beside).astype(bool)
    kept = frame[(frame.stage != "samples") | is_wanted]
    if (is_wanted & (frame.stage == "samples") & ~of_data).any():
        return replace(section, frame=kept)
    swept = is_wanted & (frame.stage == "sweep")
    kept = frame[swept | ~frame.stage.isin(["samples", "sweep"])]
    kept = kept[kept.variant.isin(frame.variant[swept & ~of_data])]
    return replace(section, frame=kept.assign(stage=kept.stage.replace("sweep", "samples")))
