"""What evaluations of the velocity field buy: quality, and the solver's own error, at every accuracy of the sweep."""

import math
from typing import TYPE_CHECKING, Any

from bench.papers.paper import known
from bench.report import numbers, vocabulary
from bench.report.artefacts import Artefacts
from bench.report.crossings import nfe_ratio
from bench.report.plots.axes import LEGEND, crosses, curves, lacking, legend, limit, means, plain_log, titled
from bench.report.plots.canvas import WIDTH, Drawing, sheet
from bench.report.sections import Section, of_one_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

SOLVERS = ("euler", "heun2", "midpoint", "heun3", "rk4", "dopri5")
WITH_RATIOS = 2.95  # inches at the right for a legend with a ratio a solver


def over_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> list[Drawing]:
    """A figure for every distance of the sweep: one facet a solver."""
    metrics = {name for name in section.sweep.metric if name in ("w2", "fid") or name.startswith("fd_")}
    return [_over_nfe(section, metric) for metric in sorted(metrics, key=vocabulary.order)]


def _over_nfe(section: Section, metric: str) -> Drawing:
    about, points = vocabulary.metric(metric), at_every_accuracy(section, metric)
    lost = lost_at_some_accuracy(section, metric)
    figure, axes = _facets(section, points, lost, LEGEND)
    for one in axes:
        cut = limit(one, points.value)
        if one.get_yscale() == "log":
            plain_log(one.yaxis)
    axes[0].set_ylabel(titled(about, points.n.iloc[0]))
    statement, order = _first_said(section, points, about)
    legend(section, axes[-1], dict.fromkeys(order, ""), "")
    reading = (
        "Both axes are logarithmic. One facet a solver; a fixed-step solver spends NFE in equal steps, dopri5 is run "
        "at falling tolerances. Where a curve levels out, the model's error is left and more evaluations are wasted."
    )
    return Drawing(f"{section.stem}_{metric}_over_nfe", figure, statement, reading + cut + lacking(section, lost))


def _first_said(section: Section, points: "DataFrame", about: vocabulary.Metric) -> tuple[str, list[str]]:
    """The leader at the smallest NFE that all variants were measured at, and the variants from best to worst there."""
    everyone = points.variant.nunique()
    shared = points[points.groupby(["solver", "nfe"]).variant.transform("nunique") == everyone]
    ascending = about.better != "higher"
    if shared.empty or everyone == 1:
        order = points.groupby("variant").value.min().sort_values(ascending=ascending)
        return f"{about.title} against evaluations of the velocity field", [str(v) for v in order.index]
    budget = shared.nfe.min()
    at = shared[shared.nfe == budget].sort_values("value", ascending=ascending).drop_duplicates("variant")
    best = at.iloc[0]
    lead = f"the {about.superlative} mean {about.title}, {numbers.plain(best.value, 3)} by {best.solver}"
    return f"At {budget:g} evaluations {section.labels[best.variant]} has {lead}", list(at.variant)


def solver_error(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Error of every fixed-step solver against its evaluations, with each method's NFE for the reference's error."""
    from matplotlib.ticker import NullFormatter

    if not (section.sweep.metric == "ode_error").any():
        return None
    points = at_every_accuracy(section, "ode_error")
    points = points[points.fixed & (points.value > 0)]
    if points.empty:
        return None
    ratios = _ratios(section, points)
    lost = lost_at_some_accuracy(section, "ode_error")
    lost = lost[lost.fixed]
    figure, axes = _facets(section, points, lost, WITH_RATIOS if ratios else LEGEND, bands=False)
    for one in axes:
        one.set_ylim(points.value.min() / 1.6, points.value.max() * 1.6)
        one.yaxis.set_major_formatter(lambda value, _: vocabulary.tolerance(value))
        one.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel(titled(vocabulary.metric("ode_error"), points.n.iloc[0]))
    shown = max(set(points.solver), key=lambda name: (name == "midpoint", name))
    last = points[points.solver == shown].sort_values("nfe").groupby("variant").tail(1).sort_values("value")
    if ratios:
        reference = next(iter(ratios))
        solvers = list(ratios[reference])
        values = {
            v: " · ".join(f"{r:.2f}" if r == r else "–" for r in row.values())
            for v, row in sorted(
                ratios.items(), key=lambda pair: pair[1][shown] if pair[1][shown] == pair[1][shown] else 99
            )
        }
        heading = f"NFE for the same error,\n{section.labels[reference]} = 1: {' · '.join(solvers)}"
        legend(section, axes[-1], values, heading)
        of_shown = {v: row[shown] for v, row in ratios.items() if v != reference and row[shown] == row[shown]}
        statement = _ratio_said(section, shown, reference, of_shown)
    else:
        legend(section, axes[-1], dict.fromkeys(last.variant, ""), "")
        best = last.iloc[0]
        statement = f"At NFE {best.nfe:g} {shown} solves {section.labels[best.variant]}'s ODE with the smallest error"
    reading = (
        "Mean squared difference a dimension between a solution and one of 1,000 midpoint evaluations from the same "
        "noise; both axes are logarithmic. It says how well the ODE is solved, not how good the model is; where a "
        "curve levels out near 1e-12, single precision ends. Ratios are geometric means over the errors that both "
        "curves pass; a dash stands where they share none."
    )
    return Drawing(f"{section.stem}_ode_error_over_nfe", figure, statement, reading + lacking(section, lost))


def _ratio_said(section: Section, solver: str, reference: str, ratios: dict[str, float]) -> str:
    name = section.labels[reference]
    if not ratios:
        return f"Error of the ODE's solution against evaluations of {solver}"
    least, most = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    if least == most:
        return f"For one {solver} error {section.labels[least]} takes {ratios[least]:.2g} times {name}'s NFE"
    low, high = (f"{ratios[v]:.2g} ({section.labels[v]})" for v in (least, most))
    return f"For one {solver} error the others take {low} to {high} times {name}'s NFE"


def _ratios(section: Section, points: "DataFrame") -> dict[str, dict[str, float]]:
    """Of every variant, the reference first: its NFE over the reference's by solver; nothing without a reference."""
    baseline = section.frame.drop_duplicates("variant").set_index("variant").baseline
    variants = [variant for variant in section.labels if (points.variant == variant).any()]
    references = {paper.reference for paper in known()}
    reference = next((variant for variant in variants if baseline[variant] in references), None)
    if reference is None or len(variants) == 1:
        return {}
    lines = {
        key: (part.sort_values("nfe").nfe.to_numpy(), part.sort_values("nfe").value.to_numpy())
        for key, part in points.groupby(["variant", "solver"])
    }
    solvers = [solver for solver in in_order(points.solver) if (reference, solver) in lines]
    return {
        v: {s: nfe_ratio(lines[v, s], lines[reference, s]) if (v, s) in lines else float("nan") for s in solvers}
        for v in [reference, *(v for v in variants if v != reference)]
    }


def at_every_accuracy(section: Section, metric: str) -> "DataFrame":
    """Means over seeds (see `means`) of a metric of the sweep by solver and accuracy, with nfe and `fixed`.

    An adaptive solver needs another NFE for every seed: seeds are joined by tolerance, at their mean NFE.
    """
    rows = _with_accuracy(of_one_kind(section.sweep[section.sweep.metric == metric]))
    return means(rows, ["solver", "accuracy", "fixed"], ["nfe", "n"])


def lost_at_some_accuracy(section: Section, metric: str) -> "DataFrame":
    """What of the sweep could not be had, by solver and accuracy (see above), at the nfe of other seeds if any."""
    rows = _with_accuracy(section.lost_sweep[section.lost_sweep.metric == metric])
    key = ["variant", "solver", "accuracy"]
    others = _with_accuracy(section.sweep[section.sweep.metric == metric]).groupby(key).nfe.mean()
    known = [others.get(place, math.nan) for place in zip(*(rows[column] for column in key), strict=True)]
    return rows.assign(nfe=rows.nfe.where(rows.nfe.notna(), known))


def _with_accuracy(rows: "DataFrame") -> "DataFrame":
    import numpy as np

    fixed = np.array([s.get("steps") is not None for s in rows.parsed], bool)
    return rows.assign(accuracy=[str(s.get("rtol") or s.get("steps")) for s in rows.parsed], fixed=fixed)


def in_order(solvers: Any) -> list[str]:
    """Names of solvers by their order of accuracy, unknown ones last."""
    return sorted(set(solvers), key=lambda name: (SOLVERS.index(name) if name in SOLVERS else len(SOLVERS), name))


def _facets(
    section: Section, points: "DataFrame", lost: "DataFrame", right: float, bands: bool = True
) -> "tuple[Figure, list[Axes]]":
    """One panel a solver, log-log where values allow it, with crosses for `lost` values."""
    solvers = in_order([*points.solver, *lost.solver])
    width = (WIDTH - 0.75 - right - 0.14 * (len(solvers) - 1)) / len(solvers)
    figure, grid = sheet(1, len(solvers), (width, 3.3), (0.14, 0), left=0.75, right=right, bottom=0.6)
    fixed = [*points[points.fixed].nfe, *lost[lost.fixed].nfe]
    for one, solver in zip(grid[0], solvers, strict=True):
        part, without = points[points.solver == solver], lost[lost.solver == solver]
        curves(section, one, part, "nfe", bands)
        by_steps = bool(part.fixed.all() and without.fixed.all())
        nfe = [x for x in (fixed if by_steps else [*part.nfe, *without.nfe]) if x > 0] or [1.0]
        one.set(xscale="log", xlim=(min(nfe) / 1.2, max(nfe) * 1.2), xlabel="NFE [evaluations]")
        one.set_title(solver, weight="bold", pad=9 if len(lost) else None)
        if (points.value > 0).all():
            one.set_yscale("log")
        plain_log(one.xaxis, nfe if by_steps else ())
        crosses(section, one, without, "nfe")
        one.tick_params(labelleft=one is grid[0][0])
    return figure, grid[0]
