"""Quality, and the solver's own error, at every number of steps or tolerance of each sampler of a sweep."""

import numpy as np
from pandas import DataFrame

from bench.metrics.metric import FLOOR
from bench.report import vocabulary
from bench.report.axes import means
from bench.report.comparable import is_under, of_one_kind
from bench.report.extract import Extract, each
from bench.report.statistics import one_more, repeats

MOST = 6  # samplers that have a panel each


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
    return (float(rows.value.mean()), one_more(*repeats(rows))) if len(rows) else None


def at_every_accuracy(rows: DataFrame) -> DataFrame:
    """Means of what was `swept`; an adaptive solver's seeds are joined by tolerance, at the mean of their NFE."""
    return means(rows, ["solver", "accuracy", "fixed"], ["nfe", "n"])


def spent(rows: DataFrame) -> dict[str, float]:
    """The evaluations of a method's sampler by accuracy, the mean over seeds of those that have a value if any has."""
    had = rows[rows.value.notna()].groupby("accuracy").nfe.mean()
    nfe = rows.groupby("accuracy").nfe.mean()
    return {str(accuracy): float(had.get(accuracy, of_all)) for accuracy, of_all in nfe.items()}


def of_samplers(points: DataFrame) -> bool:
    """Whether a method has more samplers than have a panel each: then panels are methods."""
    return len(points) > 0 and bool(points.groupby("variant").solver.nunique().max() > MOST)


def budgets(points: DataFrame) -> list[float]:
    """The numbers of evaluations that most fixed-step samplers were asked for, or else the most that were spent."""
    fixed = points[points.fixed.astype(bool)]
    counts = fixed.groupby("nfe").solver.nunique()
    return list(counts.index[2 * counts > fixed.solver.nunique()]) or [float(points.nfe.max())]
