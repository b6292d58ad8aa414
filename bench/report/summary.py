"""The summary of each dataset, in seven columns: likelihood, quality, evaluations and cost of every method.

Each number is that of the headline row of its method, under the settings that the tables compare.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.report.beside import is_at
from bench.report.budget import COUNTED, spent
from bench.report.entries import marked
from bench.report.extract import each
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.remarks import AT_FLOOR, REACHED, bold, caption
from bench.report.sections import Section
from bench.report.statistics import Interval, t_interval
from bench.report.vocabulary import headed

COLUMNS = {  # what `Section.metric` takes, by the title of its column, "" for that of the metric
    "nll": "",
    "quality": "",
    "nfe_sampling": "NFE",
    "evaluations": "Evaluations [k]",
    "train_seconds": "Training [s]",
}
OF_FLOOR = (
    "Floor: the exact density of the data, and as many fresh data in the place of samples ± half-width of the 95% "
    "interval of one more such set."
)
HOW = f"NFE: evaluations of the network per sample. Evaluations: those of the training, in thousands. {COUNTED}"


@dataclass(frozen=True)
class _Column:
    """A column: its header, the means by variant, and what the data itself scores, if it has a score."""

    header: Header
    values: Mapping[str, Interval]
    floor: Interval | None = None

    def entry(self, variant: str, seeds: int) -> Entry:
        """The cell of a variant, which has so many seeds in other columns."""
        if variant not in self.values:
            return Entry(ABSENT)
        mean, half_width, n = self.values[variant]
        entry = Entry("", mean, half_width)
        if n != seeds:
            entry = replace(entry, n=n, tail=f"(n={n})" if n > 1 else "", title=f"{n} of {seeds} seeds")
        if self.floor and is_at(mean, self.floor._asdict(), self.header.better):
            entry = replace(entry, tail=f"{entry.tail} {AT_FLOOR}".strip())
        return entry


def summaries(sections: Sequence[Section]) -> list[Grid]:
    """A grid a section that has finished runs."""
    return [grid for section in sections if (grid := summary(section))]


def summary(section: Section) -> Grid | None:
    """Methods by COLUMNS, and the floor; None without any number."""
    columns = list(_columns(section))
    if not columns:
        return None
    seeds: dict[str, int] = {}
    for column in columns:
        seeds |= {variant: max(of.n, seeds.get(variant, 0)) for variant, of in column.values.items()}
    baseline = {row.variant: row.baseline for row in each(section.frame.drop_duplicates("variant"))}
    rows = [
        Row(baseline[variant], label, str(n), tuple(column.entry(variant, n) for column in columns))
        for variant, label in section.labels.items()
        if (n := seeds.get(variant))
    ]
    told = [caption(section), HOW, bold(section)]
    rows = marked(rows, [column.header.better for column in columns])
    if any(column.floor for column in columns):
        told += [OF_FLOOR, *([REACHED] if any(AT_FLOOR in e.tail for row in rows for e in row.entries) else [])]
        rows.append(Row("", "Floor", "", tuple(Entry("", *(c.floor or ())) for c in columns)))
    title, headers = f"{section.name}: summary {section.where}", tuple(column.header for column in columns)
    return Grid(
        title, "quality", headers, tuple(rows), tuple(told), ("Method", "Seeds"), (section.name,), section.protocol
    )


def _columns(section: Section) -> Iterator[_Column]:
    for name, title in COLUMNS.items():
        if name == "evaluations":
            if of := _evaluations(section):
                yield _Column(Header(title, "lower"), of)
        elif (metric := section.metric(name)) and (scores := section.scores(metric)):
            about, floor = scores.about, scores.floor
            known = None if floor is None or math.isnan(floor) else Interval(floor, scores.floor_half, 0)
            yield _Column(Header(title or headed(about), about.direction), scores.values, known)


def _evaluations(section: Section) -> dict[str, Interval]:
    """Thousands of rows through the network in the whole training, by variant."""
    rows = spent(section)
    return {str(variant): t_interval(values / 1000) for variant, values in rows.evaluations.groupby(rows.variant)}
