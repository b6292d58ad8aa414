"""A table of quality by evaluations: what every sampler of every method reaches within so many of them."""

import math
from collections.abc import Iterator
from dataclasses import replace

from pandas import DataFrame

from bench.metrics.metric import Facts
from bench.report.axes import sign_of, titled
from bench.report.extract import listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row, left
from bench.report.incidents import kinds, not_applicable, reasons
from bench.report.sections import Section
from bench.report.statistics import t_interval
from bench.report.sweeps import MOST, at_every_accuracy, budgets, qualities, spent, swept

REMARKS = (
    "Mean ± half-width of the 95% t-interval over seeds, which spend at most the column's evaluations on average.",
    "Bold: best mean of a method in its column.",
    f"{ABSENT}: none with so few evaluations.",
)


def by_evaluations(section: Section) -> Iterator[Grid]:
    """A grid for every quality of a sweep of more than MOST samplers, a row per method and sampler."""
    for metric in qualities(section):
        rows = swept(section, metric)
        if rows.solver[rows.value.notna()].nunique() > MOST:
            yield _grid(section, metric, rows)


def _grid(section: Section, metric: str, rows: DataFrame) -> Grid:
    about, points = section.about(metric), at_every_accuracy(rows)
    columns, lines = budgets(points), list[Row]()
    for variant, label in section.labels.items():
        of_variant = rows[rows.variant == variant]
        block = [
            Row(
                str(own.baseline.iloc[0]),
                label,
                str(name),
                tuple(_entry(section, own, n, about) for n in columns),
            )
            for name, own in of_variant.groupby("solver", sort=False)
        ]
        lines += _marked(block, sign_of(about))
    headers = tuple(Header(f"NFE {budget:g}", about.direction) for budget in columns)
    title = f"{section.name}: {titled(about, points.n.iloc[0])}, within so many evaluations {section.where}"
    return Grid(title, "quality", headers, tuple(lines), (*REMARKS, *_left_out(section, metric)))


def _entry(section: Section, rows: DataFrame, budget: float, about: Facts) -> Entry:
    """What a sampler scores at its most evaluations within the budget, by the mean of them over its seeds."""
    had = rows[rows.value.notna()]
    within = {accuracy: nfe for accuracy, nfe in spent(rows).items() if nfe <= budget}
    if not within:
        return Entry(ABSENT)
    at = max(within, key=lambda accuracy: within[accuracy])
    had, why = had[had.accuracy == at], reasons(rows[rows.value.isna() & (rows.accuracy == at)])
    words, title = kinds(why), "; ".join(dict.fromkeys(why))
    if had.empty:
        return Entry(words, title=title)
    mean, half, n = t_interval(had.value)
    entry = Entry("", mean / about.divide, half / about.divide, title=title, runs=tuple(had.run_id))
    if len(why):
        return replace(entry, tail=left(n, len(why), words))
    if 1 < n < section.seeds:
        return replace(entry, tail=f"(n={n})")
    return entry if section.seeds == 1 else replace(entry, n=n)  # one seed is what the title says


def _marked(block: list[Row], sign: int) -> list[Row]:
    """The rows of a method, with the best entry of each column marked, of those that lost no seed."""
    values = [
        [sign * entry.value if entry.is_number and not entry.title else math.inf for entry in row.entries]
        for row in block
    ]
    best = [min(column) for column in zip(*values, strict=True)]
    return [
        replace(
            row,
            entries=tuple(replace(e, best=v == b < math.inf) for e, v, b in zip(row.entries, own, best, strict=True)),
        )
        for row, own in zip(block, values, strict=True)
    ]


def _left_out(section: Section, metric: str) -> list[str]:
    """A sentence per reason for which samplers cannot draw from a method."""
    rows = section.frame[(section.frame.stage == "sweep") & (section.frame.metric == metric)]
    rows = rows[not_applicable(rows)]
    told: dict[str, dict[str, list[str]]] = {}
    for variant, reason, settings in zip(rows.variant, reasons(rows), rows.parsed, strict=True):
        names = told.setdefault(str(reason), {}).setdefault(section.labels[variant], [])
        names += [name for name in [str(settings.get("sampler", ""))] if name not in names]
    return [
        f"Without {listed(names)} of {label}: {reason}."
        for reason, of_reason in told.items()
        for label, names in of_reason.items()
    ]
