"""Samples of the midpoint rule at few evaluations of the field, beside those of the adaptive solver."""

from typing import TYPE_CHECKING, Any

from bench.report.artefacts import Exhibit
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.incidents import LOST
from bench.report.mosaic import Mosaic
from bench.report.planes import extent_of
from bench.report.sheets import LOOK, tiled

if TYPE_CHECKING:
    import numpy as np

    Row = list[np.ndarray[Any, Any] | None]

KEPT = "samples_midpoint_"
FEW = 20  # evaluations; a cloud of points looks the same at more


@register_figure(
    "low_nfe", title="Samples of the midpoint rule at few evaluations, and of the adaptive solver", place=130
)
def low_nfe(data: FigureData) -> Drawing | None:
    """Rows of baselines, columns of NFE; points at the smallest alone."""
    points = {nfe: name for nfe, name in _budgets(data, 2).items() if nfe <= FEW}
    budgets = points or _budgets(data, 4)
    if not budgets:
        return None
    exhibits, moments, rows = _beside_adaptive(data, budgets, 2 if points else 4)
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], moments, gap=0.07 if points else 0.1, framed=bool(points))
    for i, (exhibit, row) in enumerate(zip(exhibits, rows, strict=True)):
        if points:
            mosaic.clouds(i, row, extent_of(exhibit) if exhibit.arrays else 1.0, exhibit.look.colour)
            continue
        for j, pictures in enumerate(row):
            if pictures is None:
                mosaic.strike(i, j)
            else:
                mosaic.picture(i, j, tiled(pictures), **LOOK)
    reading = (
        "Samples from the same noise at a fixed number of evaluations of the velocity field (two a midpoint step), the "
        "adaptive solver's last. A method whose first panel already looks like its last is cheap to sample."
    )
    if any(samples is None for row in rows for samples in row):
        reading += " A cross stands where samples could not be had."
    return Drawing(mosaic.figure, reading=reading, note="midpoint rule, one seed drawn")


def _budgets(data: FigureData, axes: int) -> dict[int, str]:
    """NFE -> name of the array, rising, for the midpoint samples that some variant has kept."""
    kept = {name for e in data.artefacts.exhibits(data.section, "sweep", {}) for name in e.arrays}
    found = {int(name.removeprefix(KEPT)): name for name in kept if name.startswith(KEPT)}
    return {nfe: name for nfe, name in sorted(found.items()) if data.kept({name: axes})}


def _beside_adaptive(
    data: FigureData, budgets: dict[int, str], axes: int
) -> "tuple[list[Exhibit], list[str], list[Row]]":
    """Who has kept samples at these NFEs; the moments; and the samples of each at every moment, adaptive last.

    Samples that could not be had are None.
    """

    def has_lost(variant: str, stage: str) -> bool:
        return any(incident.status == LOST for incident in data.section.incidents_at(variant, stage))

    whole = {exhibit.variant: exhibit for exhibit in data.kept(dict.fromkeys(budgets.values(), axes))}
    partial = [e for e in data.artefacts.exhibits(data.section, "sweep", {}) if has_lost(e.variant, "sweep")]
    found = {exhibit.variant: exhibit for exhibit in partial} | whole
    exhibits = [found[variant] for variant in data.section.labels if variant in found]
    full = {e.variant: e.arrays["samples"] for e in data.kept({"samples": axes})}
    moments = [f"NFE {nfe}" for nfe in budgets]
    samples: list[Row] = [[exhibit.arrays.get(name) for name in budgets.values()] for exhibit in exhibits]
    if all(e.variant in full or has_lost(e.variant, "samples") for e in exhibits):
        moments.append("adaptive")
        most = max((len(cloud) for row in samples for cloud in row if cloud is not None), default=0)
        ends = [full[e.variant][:most] if e.variant in full else None for e in exhibits]
        samples = [[*row, end] for row, end in zip(samples, ends, strict=True)]
    return exhibits, moments, samples
