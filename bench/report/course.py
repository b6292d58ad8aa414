"""The course of training, as it was validated: metrics by steps, samples, seconds and evaluations of the network."""

from pandas import DataFrame

from bench.report import vocabulary
from bench.report.axes import means
from bench.report.comparable import of_one_kind
from bench.report.lost_points import PLAIN
from bench.report.sections import Section

COSTS = ("step", "samples", "seconds", "evaluations")


def validated(section: Section) -> list[str]:
    """The metrics that have a curve, of more than one point, in the order of the table's columns."""
    curve = section.curve[section.curve.value.notna()]
    return sorted(set(curve.metric[curve.point > 0]), key=vocabulary.order)


def validations(section: Section, metric: str) -> DataFrame:
    """The rows of a metric's curves that are compared, with COSTS."""
    return of_one_kind(section.curve[section.curve.metric == metric])


def finished(section: Section, metric: str) -> DataFrame:
    """The `validations` of trainings that are over: what one under way will reach, and when, nobody knows."""
    rows = validations(section, metric)
    return rows[rows.status == "ok"]


def qualities(section: Section) -> list[str]:
    """The metrics of quality that have a curve; of the likelihoods the one that verdicts take."""
    nll = section.metric("nll", "train")
    of_quality = [metric for metric in validated(section) if section.about(metric).table == "quality"]
    return [metric for metric in of_quality if metric not in PLAIN or metric == nll]


def course(section: Section, metric: str) -> DataFrame:
    """Means over seeds (see `means`) at every validation, with its COSTS."""
    rows = validations(section, metric)
    # A budget of seconds or evaluations ends at another step for every seed: the place in the run is what they share.
    last = rows.groupby(["variant", "run_id"]).step.max()
    by_steps = bool((last.groupby("variant").nunique() == 1).all())
    return means(rows.assign(place=rows.step if by_steps else rows.point), ["place"], [*COSTS, "n"])
