"""A sweep of methods that do not share their samplers: the best of each method at every number of evaluations.

A solver's panel would compare few of them, and a method's panel would show few lines. A method that no sampler of the
sweep draws from, such as a generator of one evaluation, stands by its samples.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas
from pandas import DataFrame

from bench.report.axes import means, sign_of
from bench.report.comparable import OF_SAMPLER, settings_without
from bench.report.extract import each, listed
from bench.report.sections import Section
from bench.report.sweeps import MOST, PLACE, at_every_accuracy, best_of, budgets, of_samplers, qualities, spent, swept
from bench.report.vocabulary import words

OTHERS = "no sampler of the sweep draws from it, and its samples are of other settings"
NOT_DRAWING = {*OF_SAMPLER, "batch", "repeats"}  # settings that samples and a sweep need not share


class Best(NamedTuple):
    """The best of each method, by the mean over its seeds.

    Attributes:
        rows: all that is compared, with what was lost, and the `budget` that it stands within, NaN for none.
        points: a row per variant and number `budget` of evaluations, with `solver`, `accuracy`, `nfe` and the mean.
        budgets: so many evaluations at most, and more than the budget before.
        guests: variants that stand by their samples.
        strangers: labels of those whose samples are of other settings than the sweep, with the settings.
    """

    rows: DataFrame
    points: DataFrame
    budgets: list[float]
    guests: frozenset[str]
    strangers: list[str]

    @property
    def lost(self) -> set[tuple[str, float]]:
        """Variants and budgets without a value where one was lost."""
        rows = lost_within(self)
        return set(zip(rows.variant, rows.budget, strict=True))


def best(section: Section, metric: str) -> Best | None:
    """The best of each method; None if panels of solvers or of methods show the sweep, or no value is better."""
    if not section.about(metric).direction:
        return None
    own = swept(section, metric)
    known = at_every_accuracy(own)
    offered = _offered(section, metric, own)
    guests = offered[offered.differs == ""]
    if known.empty or of_samplers(known) or not (len(guests) or _is_divided(known)):
        return None
    asked = budgets(known)
    columns = sorted({*asked, *(nfe for nfe in guests.nfe if not asked[0] <= nfe <= asked[-1])})
    rows = pandas.concat([own, guests]) if len(guests) else own
    rows = rows.assign(budget=[_budget_of(nfe, columns) for nfe in spent(rows)])
    sign = sign_of(section.about(metric))
    places = [best_of(there, sign) for _, there in rows.groupby(["variant", "budget"])]
    points = means(pandas.concat(places), ["budget", *PLACE[1:], "fixed"], ["nfe", "n"])
    return Best(rows, points, columns, frozenset(guests.variant), _strangers(section, offered))


def lost_within(found: Best) -> DataFrame:
    """The rows whose value was lost where their method has no other, with their `budget`."""
    lost = found.rows[found.rows.value.isna()]
    had = set(zip(found.points.variant, found.points.budget, strict=True))
    return lost.loc[[place not in had for place in zip(lost.variant, lost.budget, strict=True)]]


def standing(section: Section, found: Best) -> list[str]:
    """What is said of the methods that no sampler draws from: by what they stand, or why they do not."""
    names = [label for variant, label in section.labels.items() if variant in found.guests]
    told = [f"No sampler of the sweep draws from {listed(names)}: by the samples of the table."] if names else []
    return [*told, *(f"Without {who}: {OTHERS}." for who in found.strangers)]


def left_out(section: Section) -> list[str]:
    """Methods that the sweep's figures and tables leave out, since their samples are of other settings."""
    metric = section.metric("quality", "sweep")
    if metric not in qualities(section):
        return []
    found = _strangers(section, _offered(section, metric, swept(section, metric)))
    return [f"{section.name}: {who}: {OTHERS}: left out of the sweep's figures and tables" for who in found]


def _is_divided(points: DataFrame) -> bool:
    """Whether there are more samplers than have a panel each, or one that draws from less than half of the methods."""
    methods = points.groupby("solver").variant.nunique()
    return len(methods) > MOST or bool((2 * methods < points.variant.nunique()).any())


def _budget_of(nfe: float, columns: list[float]) -> float:
    """The least of the budgets that so many evaluations do not exceed, NaN for none."""
    return next((budget for budget in columns if nfe <= budget), math.nan)


def _offered(section: Section, metric: str, rows: DataFrame) -> DataFrame:
    """Samples of methods that no sampler of the sweep draws from, at what they cost; `differs` by what from its `rows`.

    A method whose sweep failed, or was not run, does not stand by its samples.
    """
    swept_ones, known = set(section.sweep.variant), section.frame[section.frame.stage == "sweep"]
    without = [v for v in known.variant.unique() if v not in swept_ones and not section.incidents_at(v, "sweep")]
    drawn = section.measured[(section.measured.stage == "samples") & section.measured.variant.isin(without)]
    key = ["run_id", "sampler", "batch"]
    nfe = drawn[drawn.metric == "nfe_sampling"].drop_duplicates(key).set_index(key).value.rename("spent")
    found = drawn[(drawn.metric == metric) & drawn.value.notna()].join(nfe, on=key).dropna(subset="spent")
    kinds = {json.dumps(of := settings_without(row, NOT_DRAWING)): of for row in each(rows[rows.value.notna()])}
    names = [str(settings.get("sampler", "")) for settings in found.parsed]
    differs = [_difference(settings_without(row, NOT_DRAWING), kinds.values()) for row in each(found)]
    return found.assign(solver=names, accuracy="", fixed=True, nfe=found.spent, differs=differs)


def _strangers(section: Section, offered: DataFrame) -> list[str]:
    """The methods of which no samples are of the sweep's settings: "Mine (n = 1,024, the sweep: n = 360)"."""
    others = offered[offered.groupby("variant").differs.transform("min") != ""].drop_duplicates("variant")
    told = dict(zip(others.variant, others.differs, strict=True))
    return [f"{label} ({told[variant]})" for variant, label in section.labels.items() if variant in told]


def _difference(settings: dict[str, Any], kinds: Iterable[dict[str, Any]]) -> str:
    """By what the settings differ from the nearest of `kinds`, "" for nothing."""

    def of(kind: dict[str, Any]) -> list[str]:
        return [key for key in {**kind, **settings} if kind.get(key) != settings.get(key)]

    nearest = min(kinds, key=lambda kind: len(of(kind)), default={})
    own, others = (", ".join(words({key: known.get(key) for key in of(nearest)})) for known in (settings, nearest))
    return f"{own or 'none'}, the sweep: {others or 'none'}" if of(nearest) else ""
