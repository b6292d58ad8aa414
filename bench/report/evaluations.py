"""A table of quality by evaluations: what every sampler of every method reaches within so many of them.

Of methods that do not share their samplers (bench/report/by_method.py) it is what the best of each method reaches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pandas import DataFrame

from bench.report.axes import titled
from bench.report.by_method import Best, best, lost_within, standing
from bench.report.entries import entry_of, marked
from bench.report.extract import listed
from bench.report.grid import ABSENT, Grid, Header, Row
from bench.report.incidents import not_applicable, reasons
from bench.report.remarks import bold, caption
from bench.report.sections import Section
from bench.report.sweeps import PLACE, at_every_accuracy, budgets, most_within, of_samplers, qualities, swept

WITHIN = ", of samplers that spend at most the column's evaluations on average"
BOLD = "Bold: best mean of a method in its column."
FEW = f"{ABSENT}: none with so few evaluations."
BY_BEST = "By the best sampler of each method among those that spend more than the column before, which is named."
NONE = f"{ABSENT}: none with so many evaluations."


def by_evaluations(section: Section) -> Iterator[Grid]:
    """A grid per quality of a sweep that has more samplers, or fewer in common, than panels show."""
    for metric in qualities(section):
        rows = swept(section, metric)
        if of_samplers(points := at_every_accuracy(rows)):
            yield _of_samplers(section, metric, rows, points)
        elif found := best(section, metric):
            yield _of_methods(section, metric, found)


def _of_methods(section: Section, metric: str, found: Best) -> Grid:
    """A row per method, with the value of its best sampler."""
    about, lines = section.about(metric), list[Row]()
    values = {at: rows for at, rows in found.rows.groupby(PLACE)}
    lost = lost_within(found)
    for variant, label in section.labels.items():
        own, without = (rows[rows.variant == variant] for rows in (found.points, lost))
        if own.empty and without.empty:
            continue
        names = list(dict.fromkeys(own.solver))
        entries = []
        for budget in found.budgets:
            at = own[own.budget == budget]
            rows = without[without.budget == budget] if at.empty else values[tuple(at[PLACE].iloc[0])]
            entry = entry_of(section, rows, about)
            name = at.solver.iloc[0] if len(at) and len(names) > 1 else ""
            entries.append(replace(entry, tail=" ".join(filter(None, (entry.tail, name)))))
        baseline = str(section.frame.baseline[section.frame.variant == variant].iloc[0])
        lines.append(Row(baseline, label, names[0] if len(names) == 1 else "", tuple(entries)))
    lines = marked(lines, [about.direction] * len(found.budgets))
    has_holes = any(entry.words == ABSENT for line in lines for entry in line.entries)
    remarks = [caption(section, WITHIN), BY_BEST, bold(section), *([NONE] if has_holes else [])]
    return _grid(section, metric, found.points, found.budgets, lines, [*remarks, *standing(section, found)])


def _of_samplers(section: Section, metric: str, rows: DataFrame, points: DataFrame) -> Grid:
    """A row per method and sampler."""
    about, columns, lines = section.about(metric), budgets(points), list[Row]()
    within = [dict(iter(most_within(rows, budget).groupby(PLACE[:2]))) for budget in columns]
    for variant, label in section.labels.items():
        block = []
        for name, own in rows[rows.variant == variant].groupby("solver", sort=False):
            entries = (entry_of(section, found.get((variant, name), own[:0]), about) for found in within)
            block.append(Row(str(own.baseline.iloc[0]), label, str(name), tuple(entries)))
        lines += marked(block, [about.direction] * len(columns))
    remarks = [caption(section, WITHIN), *([BOLD] if about.direction else []), FEW, *_left_out(section, metric)]
    return _grid(section, metric, points, columns, lines, remarks)


def _grid(
    section: Section, metric: str, points: DataFrame, columns: Sequence[float], lines: list[Row], remarks: list[str]
) -> Grid:
    about = section.about(metric)
    headers = tuple(Header(f"NFE {budget:g}", about.direction) for budget in columns)
    title = f"{section.name}: {titled(about, points.n.iloc[0])}, within so many evaluations {section.where}"
    return Grid(title, "quality", headers, tuple(lines), tuple(remarks))


def _left_out(section: Section, metric: str) -> list[str]:
    """A sentence per reason and samplers that cannot draw: from which methods."""
    rows = section.frame[(section.frame.stage == "sweep") & (section.frame.metric == metric)]
    rows = rows[not_applicable(rows)]
    names: dict[tuple[str, str], dict[str, None]] = {}
    for variant, reason, settings in zip(rows.variant, reasons(rows), rows.parsed, strict=True):
        names.setdefault((str(reason), section.labels[variant]), {})[str(settings.get("sampler", ""))] = None
    labels: dict[tuple[str, str], list[str]] = {}
    for (reason, label), of_label in names.items():
        labels.setdefault((listed(of_label), reason), []).append(label)
    return [f"Without {without} of {listed(whose)}: {reason}." for (without, reason), whose in labels.items()]
