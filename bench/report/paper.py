"""Tables 1, 2 and 4 of Lipman et al. 2023 in the paper's arrangement: published, measured, and the difference.

    table 1   methods by NLL, distance to the data and NFE; beside them, where the paper has nothing, training hours,
              sampling seconds and evaluations in training
    table 2   super-resolution: FID, inception score, PSNR, SSIM
    table 4   bits/dim by the number K of dequantisation draws

Methods stand in the paper's order, others after them. A difference is taken only of like with like: bits/dim of the
same K, and never of a smoke run. Table 3, the settings, is bench/report/recipe.py.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report import numbers, vocabulary
from bench.report.cells import FLOOR, PAPER, of_draws, of_section
from bench.report.grid import ABSENT, Entry, Grid, Row
from bench.report.scores import distance_metric, likelihood_metric, settled
from bench.report.sections import Section, each
from bench.report.tables import CAPTION, survivors

if TYPE_CHECKING:
    from pandas import DataFrame

ORDER = ("ddpm", "score_matching", "scoreflow", "fm_diffusion", "fm_ot")
SUPERRES = ("reference", "regression", "sr3", "fm_ot")
UNPUBLISHED = ("train_seconds", "sampling_seconds", "nfe_training")
HOUR = 3600.0
NUMBERS = ["published", "mean", "half_width", "difference"]
COLUMNS = [
    *("table", "suite", "protocol", "dataset", "method", "label", "variant", "metric", "draws", "published"),
    *("published_settings", "mean", "half_width", "n", "lost", "lost_to", "difference", "settings", "run_ids", "hole"),
]


class Column(NamedTuple):
    """A metric, of K draws where K is part of what it is."""

    metric: str
    draws: int | None = None

    @property
    def title(self) -> str:
        about = vocabulary.metric(self.metric)
        if self.metric == "train_seconds":
            return "Training [h]"
        k = f", K = {self.draws}" if self.draws else ""
        return f"{about.title}{k}{f' [{about.unit}]' if about.unit else ''}"


@dataclass(frozen=True)
class Source:
    """What a table is filled from: a section's cells and the paper's numbers on its dataset."""

    section: Section
    cells: "DataFrame"
    published: "DataFrame"
    _columns: "dict[Column, DataFrame]" = field(default_factory=dict)

    def lines(self, table: str, columns: Sequence[Column], order: Sequence[str]) -> list[list[dict[str, Any]]]:
        """A line a method, the paper's first; a printed method without a run has its published numbers alone."""
        section, labels = self.section, self.section.labels
        baseline = section.frame.drop_duplicates("variant").set_index("variant").baseline
        methods: list[tuple[str, str, str]] = [(baseline[v], label, v) for v, label in labels.items()]
        if (self.published.method == "reference").any():
            methods.append(("reference", "Reference", FLOOR))
        there = {name for name, _, _ in methods}
        methods += [(name, name, "") for name in order if name not in there and name in set(self.published.method)]
        place = {name: i for i, name in enumerate(order)}
        methods.sort(key=lambda method: place.get(method[0], len(order)))
        return [[self._cell(table, column, *method) for column in columns] for method in methods]

    def _cell(self, table: str, column: Column, method: str, label: str, variant: str) -> dict[str, Any]:
        printed, found = self._printed(table, column, method), self._measured(column, variant)
        cell: dict[str, Any] = dict.fromkeys(COLUMNS, "") | dict.fromkeys(NUMBERS, math.nan)
        cell |= {"table": table, "suite": self.section.suite, "protocol": self.section.protocol, "n": 0, "lost": 0}
        cell |= {"dataset": self.section.dataset, "method": method, "label": label, "metric": column.metric}
        cell |= {"variant": "" if variant == FLOOR else variant, "hole": "not run", "draws": column.draws}
        if printed:
            cell |= {"published": printed.value, "published_settings": printed.settings}
        if found:
            cell |= {
                key: getattr(found, key) for key in ("mean", "half_width", "n", "lost", "settings", "run_ids", "hole")
            }
            cell["draws"] = json.loads(found.settings).get("draws")
        if printed and found and self.section.protocol != "smoke" and self._alike(cell):
            cell["difference"] = found.mean - printed.value
        return cell

    def _alike(self, cell: dict[str, Any]) -> bool:
        """Whether measured and published are of one kind: bits/dim of one K; an FID is known by all of its protocol."""
        if cell["metric"] == "fid":
            return self.section.protocol == "paper"
        return cell["metric"] != "nll_bpd" or of_draws(cell["published_settings"], cell["draws"])

    def _printed(self, table: str, column: Column, method: str) -> Any:
        rows = self.published[(self.published.table == table) & (self.published.method == method)]
        rows = rows[rows.metric == column.metric]
        if column.draws:
            rows = rows[[of_draws(said, column.draws) for said in rows.settings]]
        return next(each(rows), None)

    def _measured(self, column: Column, variant: str) -> Any:
        mine = self._settled(column)
        of = mine.baseline == FLOOR if variant == FLOOR else (mine.variant == variant) & ~mine.native.astype(bool)
        return next(each(mine[of]), None)

    def _settled(self, column: Column) -> "DataFrame":
        """The cells of a column under the settings that most variants share."""
        if column not in self._columns:
            mine = of_section(self.cells, self.section)
            key = settled(mine, column.metric, column.draws)
            self._columns[column] = mine[(mine.metric == column.metric) & (mine.settings == key)]
        return self._columns[column]


def paper_tables(
    sections: Iterable[Section], cells: "DataFrame", published: "DataFrame"
) -> tuple[list[Grid], list[dict[str, Any]]]:
    """The tables of every section, for readers and as tidy rows with the columns COLUMNS."""
    grids: list[Grid] = []
    tidy: list[dict[str, Any]] = []
    printed = published[published.source == PAPER]
    for section in sections:
        source = Source(section, cells, printed[printed.dataset == section.dataset])
        for table, columns, order in _layout(section):
            lines = source.lines(table, columns, order)
            tidy += [cell for line in lines for cell in line]
            grids.append(_grid(section, table, columns, lines))
    return grids, tidy


def _layout(section: Section) -> list[tuple[str, list[Column], Sequence[str]]]:
    measured = set(section.frame.metric)
    if section.is_super_resolution:
        quality = [name for name in ("fid", "inception_score", "psnr", "ssim") if name in measured]
        return [("table2", [Column(name) for name in quality], SUPERRES)]
    distance = distance_metric(section)
    names = [likelihood_metric(section), *([distance] if distance else []), "nfe_sampling", *UNPUBLISHED]
    tables: list[tuple[str, list[Column], Sequence[str]]] = [("table1", [Column(name) for name in names], ORDER)]
    draws = sorted({s["draws"] for s in section.frame[section.frame.metric == "nll_bpd"].parsed if "draws" in s})
    if len(draws) > 1:
        tables.append(("table4", [Column("nll_bpd", k) for k in draws], ORDER))
    return tables


def _grid(section: Section, table: str, columns: Sequence[Column], lines: Sequence[Sequence[dict[str, Any]]]) -> Grid:
    """Columns of what is published and what differs stand where there is any."""
    shown = {
        (key, i): any(math.isfinite(line[i][key]) for line in lines)
        for key in ("published", "difference")
        for i in range(len(columns))
    }
    digits = [max(_decimals(line[i]["published"]) for line in lines) for i in range(len(columns))]
    headers: list[str] = []
    for i, column in enumerate(columns):
        headers += [f"{column.title} published"] * shown["published", i] + [column.title]
        headers += [f"{column.title} difference"] * shown["difference", i]
    rows = []
    for line in lines:
        entries: list[Entry] = []
        for i, cell in enumerate(line):
            entries += [Entry(_plain(cell["published"], f".{digits[i]}f"))] * shown["published", i] + [_entry(cell)]
            entries += [Entry(_plain(cell["difference"], f"+.{digits[i]}f"))] * shown["difference", i]
        seeds = max(cell["n"] for cell in line)
        rows.append(Row(line[0]["method"], line[0]["label"], str(seeds or ABSENT), tuple(entries)))
    title = f"Table {table[-1]} on {section.name} {section.where}"
    return Grid(
        title,
        "quality",
        tuple(headers),
        tuple(rows),
        _remarks(section, lines),
        ("Method", "Seeds"),
        (section.name,),
        section.protocol,
    )


def _entry(row: dict[str, Any]) -> Entry:
    if not row["n"]:
        return Entry(row["lost_to"] if row["lost"] else ABSENT, title=row["hole"])
    divide = HOUR if row["metric"] == "train_seconds" else vocabulary.metric(row["metric"]).divide
    if row["lost"]:
        return Entry(survivors(SimpleNamespace(**row), divide), title=row["hole"], runs=tuple(row["run_ids"].split()))
    text = numbers.measured(row["mean"] / divide, row["half_width"] / divide, row["n"])
    return Entry(text, runs=tuple(row["run_ids"].split()))


def _decimals(value: float) -> int:
    return len(f"{value:g}".partition(".")[2])


def _plain(value: float, digits: str) -> str:
    return f"{value:{digits}}".replace("-", "−") if math.isfinite(value) else ""


def _remarks(section: Section, lines: Sequence[Sequence[dict[str, Any]]]) -> tuple[str, ...]:
    said = [CAPTION]
    if section.protocol == "smoke":
        said.append("Smoke run, no result: no difference is taken.")
    for column in zip(*lines, strict=True):
        settings = next((cell["settings"] for cell in column if cell["settings"]), "{}")
        words = vocabulary.words({k: v for k, v in json.loads(settings).items() if k != "device"})
        if words:
            said.append(f"{Column(column[0]['metric'], column[0]['draws']).title}: {', '.join(words)}.")
    printed = dict.fromkeys(cell["published_settings"] for line in lines for cell in line if cell["published_settings"])
    if printed:
        said.append(f"Published with: {' | '.join(printed)}.")
    return tuple(dict.fromkeys(said))
