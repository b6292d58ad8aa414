"""Quality at every accuracy of the sweep: means over seeds by solver and number of steps or tolerance."""

import math
from typing import TYPE_CHECKING, Any

from bench.report.axes import crosses, curves, means, plain_log
from bench.report.canvas import WIDTH, sheet
from bench.report.comparable import of_one_kind
from bench.report.sections import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

SOLVERS = ("euler", "heun2", "midpoint", "heun3", "rk4", "dopri5")


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


def facets(
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
