"""Figures of the sweep: quality, and the solver's own error, at every number of steps or tolerance of each solver."""

import math
from collections.abc import Iterable, Iterator

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from pandas import DataFrame

from bench.report import vocabulary
from bench.report.axes import crosses, curves, floor_line, lacking, legend, limit, plain_log, titled
from bench.report.by_method import best
from bench.report.canvas import LEGEND, WIDTH, sheet
from bench.report.cells import floor_text
from bench.report.crossings import nfe_ratio
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.sweeps import at_every_accuracy, floor_of, of_samplers, qualities, swept

SOLVERS = ("euler", "heun2", "midpoint", "heun3", "rk4", "dormand_prince", "dopri5")
WITH_RATIOS = 2.95  # inches at the right for a legend with a ratio a solver


@register_figure("over_nfe", title="Quality against evaluations of the velocity field, by solver", place=60)
def over_nfe(data: FigureData) -> Iterator[Drawing]:
    """A figure per quality if methods share their samplers; its legend ranks them at the smallest NFE that all have."""
    section = data.section
    for metric in qualities(section):
        about, rows = section.about(metric), swept(section, metric)
        points = at_every_accuracy(rows)
        if of_samplers(points) or best(section, metric):
            continue
        figure, axes = _facets(section, rows, points, LEGEND)
        floor = floor_of(section, metric, rows)
        for one in axes:
            cut = limit(one, points.value, floor and floor[0])
            if floor:
                floor_line(one, *floor, floor_text(metric, floor[0]) if one is axes[0] else "")
            if one.get_yscale() == "log":
                plain_log(one.yaxis)
        axes[0].set_ylabel(titled(about, points.n.iloc[0]))
        shared = points[points.groupby(["solver", "nfe"]).variant.transform("nunique") == points.variant.nunique()]
        at = shared[shared.nfe == shared.nfe.min()] if len(shared) else points
        order = at.sort_values("value", ascending=about.direction != "higher").variant.unique()
        legend(section, axes[-1], dict.fromkeys(order, ""), "")
        reading = (
            "Both axes are logarithmic. One facet a solver; a fixed-step solver spends NFE in equal steps, an adaptive "
            "one is run at falling tolerances. Where a curve levels out, the model's error is left and more "
            "evaluations are wasted. The dashed line is what as many data score, if that was measured."
        )
        title = f"{about.title} against evaluations of the velocity field, by solver"
        yield Drawing(figure, title, reading + cut + lacking(section, rows), f"{metric}_over_nfe")


@register_figure(
    "ode_error_over_nfe",
    title="Error of the ODE's solution against evaluations, by solver",
    metrics=("ode_error",),
    place=80,
)
def ode_error_over_nfe(data: FigureData) -> Drawing | None:
    """The solver's own error, with each method's NFE for the same error in units of the first's."""
    section, rows = data.section, swept(data.section, "ode_error")
    rows = rows[rows.fixed & ~(rows.value <= 0)]
    points = at_every_accuracy(rows)
    if points.empty or of_samplers(points):
        return None
    ratios = _ratios(section, points)
    figure, axes = _facets(section, rows, points, WITH_RATIOS if ratios else LEGEND, bands=False)
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
    else:
        values, heading = dict.fromkeys(points.sort_values("value").variant.unique(), ""), ""
    legend(section, axes[-1], values, heading)
    reading = (
        "Mean squared difference a dimension between a solution and one of 1,000 midpoint evaluations from the same "
        "noise; both axes are logarithmic. It says how well the ODE is solved, not how good the model is; where a "
        "curve levels out near 1e-12, single precision ends. Ratios are geometric means over the errors that both "
        "curves pass; a dash stands where they share none."
    )
    return Drawing(figure, reading=reading + lacking(section, rows))


def _facets(
    section: Section, rows: DataFrame, points: DataFrame, right: float, bands: bool = True
) -> tuple[Figure, list[Axes]]:
    """One panel a solver, log-log where values allow it, with crosses for what was lost."""
    places = pandas.concat([points, rows[rows.value.isna()]])
    solvers = _in_order(places.solver)
    width = (WIDTH - 0.75 - right - 0.14 * (len(solvers) - 1)) / len(solvers)
    figure, [axes] = sheet(1, len(solvers), (width, 3.3), (0.14, 0), left=0.75, right=right, bottom=0.6)
    for one, solver in zip(axes, solvers, strict=True):
        curves(section.looks, one, points[points.solver == solver], "nfe", bands)
        of_solver = places[places.solver == solver]
        by_steps = bool(of_solver.fixed.all())
        nfe = (places[places.fixed.astype(bool)] if by_steps else of_solver).nfe.dropna().tolist() or [1.0]
        one.set(xscale="log", xlim=(min(nfe) / 1.2, max(nfe) * 1.2), xlabel="NFE [evaluations]")
        one.set_title(solver, weight="bold", pad=9 if places.value.isna().any() else None)
        if (points.value > 0).all():
            one.set_yscale("log")
        plain_log(one.xaxis, nfe if by_steps else ())
        crosses(section.looks, one, of_solver, "nfe", "accuracy")
        one.tick_params(labelleft=one is axes[0])
    return figure, axes


def _in_order(solvers: Iterable[str]) -> list[str]:
    """Names of solvers by their order of accuracy, unknown ones last."""
    return sorted(set(solvers), key=lambda name: (SOLVERS.index(name) if name in SOLVERS else len(SOLVERS), name))


def _ratios(section: Section, points: DataFrame) -> dict[str, dict[str, float]]:
    """Of every variant, the first one first: its NFE over the first's by solver; nothing for a variant alone."""
    variants = [variant for variant in section.labels if (points.variant == variant).any()]
    groups = points.sort_values("nfe").groupby(["variant", "solver"])
    lines = {key: (line.nfe.to_numpy(), line.value.to_numpy()) for key, line in groups}
    solvers = [solver for solver in _in_order(points.solver) if (variants[0], solver) in lines]
    return {
        v: {s: nfe_ratio(lines[v, s], lines[variants[0], s]) if (v, s) in lines else math.nan for s in solvers}
        for v in (variants if len(variants) > 1 else ())
    }
