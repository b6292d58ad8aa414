"""Whether what is measured reproduces what is printed: Welch's interval, cell by cell, and the count of cells.

Printed are a mean m1 and a deviation s1 over n1 seeds, measured m2, s2 and n2. With v = s^2 / n, m2 - m1 has the 95%
interval

    t_{0.975, nu} (v1 + v2)^(1/2),    nu = (v1 + v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)),       (Welch 1947)

and a cell is within it, above or below. Chance alone leaves 5% of the cells out. A printed deviation is taken as that
of n - 1; one of n is to be multiplied by (n / (n - 1))^(1/2), 1.118 at five seeds, and the interval by less.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pandas import DataFrame

from bench.papers.paper import known
from bench.report import vocabulary
from bench.report.extract import count, each, listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.statistics import deviation, welch

JUDGED = ["std", "joint_half_width", "p", "verdict", "no_verdict"]
WITHIN, ABOVE, BELOW = "within", "above", "below"
CHANCE = 0.05
LEADING = ("Method", "Variant")
TABLE = ["paper", "title", "suite", "protocol"]
HOW = (
    "Cells within the joint 95% interval of the printed and the measured mean (Welch), of those that have a verdict. A "
    "printed deviation is taken as that of n − 1; if it is of n, intervals of five seeds are up to 1.12 times as wide. "
    "Over printed: the median over these cells of the measured mean over the printed one. The first variant of a "
    "method has no name; another is called by what it has otherwise."
)


def judged(cells: DataFrame) -> DataFrame:
    """The cells of a column with the columns JUDGED; `no_verdict` says why there is none where a number is printed."""
    rounding = 0.5 * 10.0 ** -digits(cells)
    columns = zip(*(_judged(cell, rounding) for cell in each(cells)), strict=True)
    return cells.assign(**dict(zip(JUDGED, columns, strict=True)))


def digits(cells: DataFrame) -> int:
    """Those after the point that a column is printed with."""
    return max(len(f"{value:g}".partition(".")[2]) for value in (*cells.published, *cells.published_std))


def _judged(cell: Any, rounding: float) -> tuple[float, float, float, str, str]:
    """The values of JUDGED; a difference below the rounding of what is printed is within."""
    std = float(deviation(cell.half_width, cell.n)) if cell.n > 1 else math.nan
    if math.isnan(cell.published) or math.isnan(cell.published_std) or math.isnan(cell.published_n):
        return std, math.nan, math.nan, "", ""
    if why := _undecidable(cell, std):
        return std, math.nan, math.nan, "", why
    joint, p = welch(cell.difference, (cell.published_std, std), (int(cell.published_n), cell.n))
    verdict = WITHIN if abs(cell.difference) <= max(joint, rounding) else ABOVE if cell.difference > 0 else BELOW
    return std, joint, p, verdict, ""


def _undecidable(cell: Any, std: float) -> str:
    if not cell.n:
        return f"{cell.hole}, {cell.published_note}" if cell.published_note else str(cell.hole)
    if cell.lost:
        return f"{cell.lost} of {cell.n + cell.lost} seeds {cell.lost_to}"
    if math.isnan(cell.difference):
        return "not compared under this protocol"
    if math.isnan(std) or cell.published_n < 2:
        return "no deviation over seeds"
    return "no deviation on either side" if std == cell.published_std == 0 else ""


def counted(cells: DataFrame) -> str:
    """ "5 of 8 cells within the joint 95% interval; ...", of the first variant of each printed method."""
    verdicts = cells.verdict[(cells.verdict != "") & (variants(cells) == "")]
    return (
        f"{(verdicts == WITHIN).sum()} of {len(verdicts)} cells within the joint 95% interval; "
        f"chance alone would leave out {CHANCE * len(verdicts):.1f}"
    )


def variants(cells: DataFrame) -> Any:
    """By what cells differ from the first variant of their method and from the first setting of their dataset."""
    settings = cells.setting.where(cells.setting != cells.groupby("dataset").setting.transform("first"), "")
    return cells.other.str.cat(settings, ", ").str.strip(", ")


def tables(cells: DataFrame) -> Iterator[tuple[str, str, DataFrame]]:
    """Each printed table with a verdict: its title, suite and protocol in words, and its cells of all data.

    `printed_label` is what the paper calls a cell's method.
    """
    papers = {paper.folder.name: paper for paper in known()}
    for place, of in cells.groupby(TABLE, sort=False):
        name, title, suite, protocol = map(str, place)
        if (of.verdict != "").any():
            labels = [papers[name].methods.get(method, method) for method in of.method]
            yield title, f"suite {suite}, protocol {protocol}", of.assign(printed_label=labels)


def in_short(cells: DataFrame) -> list[str]:
    """A sentence a printed table: how many of its cells are within."""
    return [f"{title} ({where}): {counted(of)}." for title, where, of in tables(cells)]


def reproductions(cells: DataFrame) -> list[Grid]:
    """How many cells of each printed table are reproduced, over all data: by method, variant and metric."""
    return [_grid(f"{title}: what is reproduced ({where})", of) for title, where, of in tables(cells)]


def _grid(title: str, cells: DataFrame) -> Grid:
    """A row a method and variant, one for all methods that have a variant, and one of what chance does."""
    cells = cells.assign(variant=variants(cells))
    found = cells[cells.verdict != ""]
    metrics = [name for name in cells.metric.unique() if name in set(found.metric)]
    rows = []
    for (_, variant), chosen in found.groupby(["method", "variant"], sort=False):
        one = chosen.iloc[0]
        rows.append(Row(one.baseline, one.printed_label, str(variant), _entries(chosen, metrics)))
    of_all = {
        variant: chosen for variant, chosen in found.groupby("variant", sort=False) if chosen.method.nunique() > 1
    }
    rows += [Row("", "All methods", str(variant), _entries(chosen, metrics)) for variant, chosen in of_all.items()]
    first = found[found.variant == ""]
    left_out = [CHANCE * n for n in (*((first.metric == name).sum() for name in metrics), len(first))]
    rows.append(
        Row(
            "",
            "Chance alone leaves out",
            "",
            (*(Entry(value=n, form=".1f") for n in left_out), *[Entry()] * len(metrics)),
        )
    )
    remarks = [HOW, f"{counted(cells)}."]
    for itself, of in found[(found.itself != "") & (found.variant == "")].groupby("itself", sort=False):
        remarks.append(f"The first of {listed(dict.fromkeys(of.printed_label))}: {itself}.")
    for why, of in cells[(cells.no_verdict != "") & (cells.variant == "")].groupby("no_verdict", sort=False):
        remarks.append(f"No verdict on {count(len(of), 'cell')} of {listed(dict.fromkeys(of.printed_label))}: {why}.")
    titles = [vocabulary.metric(name).title for name in metrics]
    headers = (*map(Header, (*titles, "All")), *(Header(f"{title} over printed") for title in titles))
    return Grid(title, "quality", headers, tuple(rows), tuple(remarks), LEADING, (), cells.protocol.iloc[0])


def _entries(cells: DataFrame, metrics: Sequence[str]) -> tuple[Entry, ...]:
    """k of n for each metric, and for all; then for each metric the median of what is measured over what is printed."""
    of_metrics = [cells[cells.metric == name] for name in metrics]
    parts = [(chosen.verdict == WITHIN) for chosen in (*of_metrics, cells)]
    counts = [Entry(f"{sum(of)} of {len(of)}", sum(of) / len(of)) if len(of) else Entry(ABSENT) for of in parts]
    ratios = [float((of["mean"] / of.published).median()) for of in of_metrics]
    return *counts, *(Entry(value=ratio, form=".2f") if math.isfinite(ratio) else Entry(ABSENT) for ratio in ratios)
