"""Figures of what few evaluations make, of points and images: a panel per method and number of evaluations."""

import numpy as np
from matplotlib.axes import Axes

from bench.records.kept import OF_EVERY, name_of, nfe_of
from bench.report.artefacts import Exhibit
from bench.report.by_method import Best, best, standing
from bench.report.canvas import dots, matrix, plane, strike
from bench.report.extract import each
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.incidents import LOST
from bench.report.plots.images import show
from bench.report.sections import Section
from bench.report.sweeps import qualities

FEW = 20  # evaluations; a cloud of points looks the same at more
STRUCK = " A cross stands where samples could not be had."


@register_figure("few_steps", title="Samples at few evaluations, by the best sampler of each method", place=129)
def few_steps(data: FigureData) -> Drawing | None:
    """Methods that do not share their samplers, at OF_EVERY evaluations; nothing where none has such samples."""
    section = data.section
    if not (found := of_methods(section)):
        return None
    budgets = [budget for budget in found.budgets if budget in OF_EVERY]
    names = {
        (row.variant, row.budget): name_of(row.solver, row.nfe)
        for row in each(found.points[found.points.budget.isin(OF_EVERY)])
    }
    axes_of_one = 2 if data.kept({"samples": 2}) else 4
    whole = {e.variant: e for e in data.kept({"samples": axes_of_one})}
    exhibits = {e.variant: e for e in data.artefacts.exhibits(section, "sweep", {})}
    exhibits |= {v: whole[v] for v in found.guests if v in whole}

    def cell(variant: str, budget: float) -> np.ndarray | None:
        name = names.get((variant, budget), "")
        kept = exhibits[variant].arrays.get("samples" if name and variant in found.guests else name)
        return kept if kept is not None and kept.ndim == axes_of_one else None

    budgets = [budget for budget in budgets if any(cell(variant, budget) is not None for variant in exhibits)]
    rows = {v: [cell(v, budget) for budget in budgets] for v in section.labels if v in exhibits}
    rows = {v: row for v, row in rows.items() if any(kept is not None for kept in row)}
    if not rows:
        return None
    most = min(len(kept) for row in rows.values() for kept in row if kept is not None)
    shown = [exhibits[variant] for variant in rows]
    figure, axes = matrix([(e.label, e.look) for e in shown], [f"NFE {budget:g}" for budget in budgets], gap=0.1)
    struck = False
    for line, exhibit, row in zip(axes, shown, rows.values(), strict=True):
        for one, kept, budget in zip(line, row, budgets, strict=True):
            if kept is None and (exhibit.variant, budget) not in found.lost:
                one.set_axis_off()
                continue
            struck |= kept is None
            _panel(one, exhibit, kept, axes_of_one, most)
    reading = (
        "A panel per method and number of evaluations, all from the same noise, by the sampler that the table by "
        "evaluations names. No panel stands where a method has no sampler of so many evaluations."
    )
    told = [reading + STRUCK * struck, *standing(section, found)]
    return Drawing(figure, reading=" ".join(told), note="one seed drawn")


@register_figure(
    "low_nfe", title="Samples of the midpoint rule at few evaluations, and of the adaptive solver", place=130
)
def low_nfe(data: FigureData) -> Drawing | None:
    """Rows of baselines, columns of NFE; points at the smallest alone."""
    section = data.section
    swept = {e.variant: e for e in data.artefacts.exhibits(section, "sweep", {})}
    arrays = {name for e in swept.values() for name in e.arrays}
    nfe = {name: known for name in arrays if (known := nfe_of("midpoint", name)) is not None}
    names = sorted(nfe, key=nfe.__getitem__)
    points = [name for name in names if nfe[name] <= FEW and data.kept({name: 2})]
    budgets, axes_of_one = (points, 2) if points else ([name for name in names if data.kept({name: 4})], 4)
    if not budgets or of_methods(section):
        return None
    whole = {e.variant: e for e in data.kept(dict.fromkeys(budgets, axes_of_one))}
    found = {v: e for v, e in swept.items() if _has_lost(section, v, "sweep")} | whole
    exhibits = [found[variant] for variant in section.labels if variant in found]
    rows = [[exhibit.arrays.get(name) for name in budgets] for exhibit in exhibits]
    moments = [f"NFE {nfe[name]}" for name in budgets]
    adaptive = {e.variant: e.arrays["samples"] for e in data.kept({"samples": axes_of_one})}
    if all(e.variant in adaptive or _has_lost(section, e.variant, "samples") for e in exhibits):
        moments.append("adaptive")
        rows = [[*row, adaptive.get(e.variant)] for e, row in zip(exhibits, rows, strict=True)]
    most = max((len(kept) for row in rows for kept in row[: len(budgets)] if kept is not None), default=0)
    figure, axes = matrix([(e.label, e.look) for e in exhibits], moments, gap=0.07 if points else 0.1)
    for line, exhibit, row in zip(axes, exhibits, rows, strict=True):
        for one, kept in zip(line, row, strict=True):
            _panel(one, exhibit, kept, axes_of_one, most)
    reading = (
        "Samples from the same noise at a fixed number of evaluations of the velocity field (two a midpoint step), the "
        "adaptive solver's last. A method whose first panel already looks like its last is cheap to sample."
    )
    if any(kept is None for row in rows for kept in row):
        reading += STRUCK
    return Drawing(figure, reading=reading, note="midpoint rule, one seed drawn")


def of_methods(section: Section) -> Best | None:
    """The best of each method by the section's quality; None if its methods share their samplers."""
    metric = section.metric("quality", "sweep")
    return best(section, metric) if metric in qualities(section) else None


def _has_lost(section: Section, variant: str, stage: str) -> bool:
    return any(incident.status == LOST for incident in section.incidents_at(variant, stage))


def _panel(axes: Axes, exhibit: Exhibit, kept: np.ndarray | None, axes_of_one: int, most: int) -> None:
    """The first `most` samples, as points (n, 2) or images, or a cross for none."""
    if axes_of_one == 2:
        plane(axes, exhibit.extent)
    else:
        axes.set_axis_off()
    if kept is None:
        strike(axes)
    elif axes_of_one == 2:
        size = min(8.0, 1.5 * (2000 / most) ** 0.6)
        dots(axes, kept[:most].astype(float), size, exhibit.look.colour, alpha=0.75, rasterized=True)
    else:
        show(axes, kept[:most])
