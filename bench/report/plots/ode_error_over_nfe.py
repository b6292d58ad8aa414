"""The solver's own error against its evaluations, with each method's NFE for the same error in units of the first's."""

import math
from typing import TYPE_CHECKING

from bench.report import vocabulary
from bench.report.axes import LEGEND, lacking, legend, titled
from bench.report.crossings import nfe_ratio
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.sweeps import at_every_accuracy, facets, in_order, lost_at_some_accuracy

if TYPE_CHECKING:
    from pandas import DataFrame

WITH_RATIOS = 2.95  # inches at the right for a legend with a ratio a solver


@register_figure(
    "ode_error_over_nfe",
    title="Error of the ODE's solution against evaluations, by solver",
    metrics=("ode_error",),
    place=80,
)
def ode_error_over_nfe(data: FigureData) -> Drawing | None:
    from matplotlib.ticker import NullFormatter

    section = data.section
    points, lost = at_every_accuracy(section, "ode_error"), lost_at_some_accuracy(section, "ode_error")
    points, lost = points[points.fixed & (points.value > 0)], lost[lost.fixed]
    if points.empty:
        return None
    ratios = _ratios(section, points)
    figure, axes = facets(section, points, lost, WITH_RATIOS if ratios else LEGEND, bands=False)
    for one in axes:
        one.set_ylim(points.value.min() / 1.6, points.value.max() * 1.6)
        one.yaxis.set_major_formatter(lambda value, _: vocabulary.tolerance(value))
        one.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel(titled(section.about("ode_error"), points.n.iloc[0]))
    if ratios:
        reference, shown = next(iter(ratios)), max(set(points.solver), key=lambda name: (name == "midpoint", name))
        ranked = sorted(ratios, key=lambda v: ratios[v][shown] if math.isfinite(ratios[v][shown]) else 99)
        values = {v: " · ".join(f"{r:.2f}" if r == r else "–" for r in ratios[v].values()) for v in ranked}
        heading = f"NFE for the same error,\n{section.labels[reference]} = 1: {' · '.join(ratios[reference])}"
        legend(section, axes[-1], values, heading)
    else:
        legend(section, axes[-1], dict.fromkeys(points.sort_values("value").variant.unique(), ""), "")
    reading = (
        "Mean squared difference a dimension between a solution and one of 1,000 midpoint evaluations from the same "
        "noise; both axes are logarithmic. It says how well the ODE is solved, not how good the model is; where a "
        "curve levels out near 1e-12, single precision ends. Ratios are geometric means over the errors that both "
        "curves pass; a dash stands where they share none."
    )
    return Drawing(figure, reading=reading + lacking(section, lost))


def _ratios(section: Section, points: "DataFrame") -> dict[str, dict[str, float]]:
    """Of every variant, the first one first: its NFE over the first's by solver; nothing for a variant alone."""
    variants = [variant for variant in section.labels if (points.variant == variant).any()]
    reference = variants[0]
    lines = {
        key: (part.sort_values("nfe").nfe.to_numpy(), part.sort_values("nfe").value.to_numpy())
        for key, part in points.groupby(["variant", "solver"])
    }
    solvers = [solver for solver in in_order(points.solver) if (reference, solver) in lines]
    return {
        v: {s: nfe_ratio(lines[v, s], lines[reference, s]) if (v, s) in lines else math.nan for s in solvers}
        for v in (variants if len(variants) > 1 else ())
    }
