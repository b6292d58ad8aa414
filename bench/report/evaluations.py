"""A table of quality by evaluations: what every sampler of every method reaches within so many of them."""

from collections.abc import Iterator
from dataclasses import replace

from pandas import DataFrame

from bench.metrics.metric import Facts
from bench.report.axes import sign_of, titled
from bench.report.extract import listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.incidents import kinds, not_applicable, reasons
from bench.report.sections import Section
from bench.report.sweeps import MOST, at_every_accuracy, budgets, qualities, swept

REMARKS = (
    "Mean ± half-width of the 95% t-interval over seeds, at the most evaluations that the column allows.",
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
        of_variant, means = rows[rows.variant == variant], points[points.variant == variant]
        block = [
            Row(
                str(own.baseline.iloc[0]),
                label,
                str(name),
                tuple(_entry(own, means, n, about) for n in budgets(points)),
            )
            for name, own in of_variant.groupby("solver", sort=False)
        ]
        if section.seeds == 1:  # as the title says
            block = [replace(row, entries=tuple(replace(entry, n=None) for entry in row.entries)) for row in block]
        lines += _marked(block, sign_of(about))
    headers = tuple(Header(f"NFE {budget:g}", about.direction) for budget in columns)
    title = f"{section.name}: {titled(about, points.n.iloc[0])}, within so many evaluations {section.where}"
    return Grid(title, "quality", headers, tuple(lines), (*REMARKS, *_left_out(section, metric)))


def _entry(rows: DataFrame, means: DataFrame, budget: float, about: Facts) -> Entry:
    """What a sampler scores at the most evaluations within the budget; `means` are those of its method."""
    within = rows[rows.nfe <= budget]
    if within.empty:
        return Entry(ABSENT)
    at = within.sort_values("nfe").iloc[-1]
    found = means[(means.solver == at.solver) & (means.accuracy == at.accuracy)]
    if found.empty:
        why = reasons(within[within.accuracy == at.accuracy])
        return Entry(kinds(why), title="; ".join(dict.fromkeys(why)))
    (mean,) = found.itertuples()
    runs = tuple(within.run_id[within.accuracy == at.accuracy])
    return Entry("", mean.value / about.divide, (mean.high - mean.value) / about.divide, mean.seeds, runs=runs)


def _marked(block: list[Row], sign: int) -> list[Row]:
    """The rows of a method, with the best entry of each column marked."""
    values = [[sign * entry.value if entry.is_number else float("inf") for entry in row.entries] for row in block]
    best = [min(column) for column in zip(*values, strict=True)]
    return [
        replace(row, entries=tuple(replace(e, best=v == b) for e, v, b in zip(row.entries, own, best, strict=True)))
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
