"""Quality, and the solver's own error, at every number of steps or tolerance of each sampler of a sweep.

A place is a method's sampler at one accuracy, a number of steps or a tolerance.
"""

import numpy as np
from pandas import DataFrame, Series

from bench.metrics.metric import FLOOR
from bench.report import vocabulary
from bench.report.axes import means
from bench.report.comparable import is_under, of_one_kind
from bench.report.extract import Extract, each
from bench.report.statistics import one_more_of

MOST = 6  # samplers that have a panel each
PLACE = ["variant", "solver", "accuracy"]


def qualities(section: Extract) -> list[str]:
    """The metrics of quality that a sweep has values of."""
    known = set(section.sweep.metric[section.sweep.value.notna()]) - {"ode_error"}
    return sorted((metric for metric in known if section.about(metric).table == "quality"), key=vocabulary.order)


def swept(section: Extract, metric: str) -> DataFrame:
    """The rows of a metric of the sweep that are compared, with `accuracy` (steps or tolerance) and `fixed` (steps)."""
    rows = of_one_kind(section.sweep[section.sweep.metric == metric])
    accuracy = [str(settings.get("rtol") or settings.get("steps")) for settings in rows.parsed]
    rows = rows.assign(accuracy=accuracy, fixed=np.array([s.get("steps") is not None for s in rows.parsed], bool))
    others = rows.groupby(["variant", "solver", "accuracy"]).nfe.transform("mean")
    return rows.assign(nfe=rows.nfe.fillna(others))  # what was lost may never have known its own


def floor_of(section: Extract, metric: str, drawn: DataFrame) -> tuple[float, float] | None:
    """What as many data as the samples of a sweep or curve score, with the half-width of the interval of one more set.

    `drawn` are the rows that are compared: a floor has their n, split and further settings.
    """
    (first,) = each(drawn[drawn.value.notna()].iloc[:1])
    rows = section.frame[section.frame.metric == f"{metric}{FLOOR}"]
    rows = rows[(rows.n == first.n) & rows.value.notna()]
    rows = rows[[is_under(settings, first.parsed) for settings in rows.parsed]]
    return (float(rows.value.mean()), one_more_of(rows)) if len(rows) else None


def at_every_accuracy(rows: DataFrame) -> DataFrame:
    """Means of what was `swept`; an adaptive solver's seeds are joined by tolerance, at the mean of their NFE."""
    return means(rows, ["solver", "accuracy", "fixed"], ["nfe", "n"])


def spent(rows: DataFrame) -> Series:
    """The evaluations of each row's place, the mean over seeds of those that have a value if any has."""
    had = rows.nfe.where(rows.value.notna())
    of_had, of_all = (nfe.groupby([rows[key] for key in PLACE]).transform("mean") for nfe in (had, rows.nfe))
    return of_had.fillna(of_all)


def most_within(rows: DataFrame, budget: float, above: float = 0.0) -> DataFrame:
    """The rows of every method and sampler at its most evaluations that are above the one and within the other.

    Of two accuracies with as many evaluations they are those of the first.
    """
    places = rows.assign(spent=spent(rows)).sort_values("spent", ascending=False, kind="stable")
    places = places[(above < places.spent) & (places.spent <= budget)].drop_duplicates(PLACE[:2])
    return rows[rows.set_index(PLACE).index.isin(places.set_index(PLACE).index)]


def best_of(rows: DataFrame, sign: int) -> DataFrame:
    """The rows of a method at its best place: the one with the most seeds that were not lost, then of the best mean.

    Values times `sign` are the better the less they are. Of equal places the first by name is the best.
    """
    places = [own for _, own in rows.groupby(PLACE[1:])]
    return min(places, key=lambda own: (-own.value.count(), sign * own.value.mean()), default=rows[:0])


def of_samplers(points: DataFrame) -> bool:
    """Whether a method has more samplers than have a panel each: then panels are methods."""
    return len(points) > 0 and bool(points.groupby("variant").solver.nunique().max() > MOST)


def budgets(points: DataFrame) -> list[float]:
    """The numbers of evaluations that most fixed-step samplers were asked for, or else the most that were spent."""
    fixed = points[points.fixed.astype(bool)]
    counts = fixed.groupby("nfe").solver.nunique()
    return list(counts.index[2 * counts > fixed.solver.nunique()]) or [float(points.nfe.max())]
