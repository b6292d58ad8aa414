"""Samples at few evaluations of the field: of points here; bench/report/plots/images.py shares the pieces."""

from typing import TYPE_CHECKING, Any

from bench.report import numbers, vocabulary
from bench.report.artefacts import Artefacts, Exhibit
from bench.report.incidents import LOST
from bench.report.plots.canvas import Drawing
from bench.report.plots.mosaic import Mosaic
from bench.report.plots.points import extent_of
from bench.report.scores import distance_metric
from bench.report.sections import Section

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

KEPT = "samples_midpoint_"
FEW = 20  # evaluations; a cloud of points looks the same at more


def low_nfe(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """Rows of baselines, columns of midpoint's smallest NFEs, and the adaptive solution beside them."""
    found = few_evaluations(section, artefacts, 2)
    budgets = {nfe: name for nfe, name in found.items() if nfe <= FEW}
    if not budgets:
        return None
    exhibits, moments, clouds = beside_adaptive(section, artefacts, budgets, 2)
    mosaic = Mosaic([(e.label, e.look) for e in exhibits], moments)
    for i, (exhibit, row) in enumerate(zip(exhibits, clouds, strict=True)):
        extent = extent_of(exhibit) if exhibit.arrays else 1.0
        mosaic.clouds(i, row, extent, exhibit.look.colour)
    statement, reading = few_said(section, budgets)
    reading += few_lost(clouds)
    return Drawing(f"{section.stem}_low_nfe", mosaic.figure, statement, reading, "midpoint rule, one seed drawn")


def few_evaluations(section: Section, artefacts: Artefacts, axes: int) -> dict[int, str]:
    """NFE -> name of the array, rising, for the midpoint samples that some variant has kept."""
    kept = {name for e in artefacts.exhibits(section, "sweep", {}) for name in e.arrays if name.startswith(KEPT)}
    found = {int(name.removeprefix(KEPT)): name for name in kept}
    return {nfe: name for nfe, name in sorted(found.items()) if artefacts.exhibits(section, "sweep", {name: axes})}


def beside_adaptive(
    section: Section, artefacts: Artefacts, budgets: dict[int, str], axes: int
) -> "tuple[list[Exhibit], list[str], list[list[np.ndarray[Any, Any] | None]]]":
    """Who has kept samples at these NFEs; the moments; and the samples of each at every moment, adaptive last.

    Samples that could not be had are None.
    """
    whole = artefacts.exhibits(section, "sweep", dict.fromkeys(budgets.values(), axes))
    there = {exhibit.variant: exhibit for exhibit in whole}
    for exhibit in artefacts.exhibits(section, "sweep", {}):
        if _has_lost(section, exhibit.variant, "sweep"):
            there.setdefault(exhibit.variant, exhibit)
    exhibits = [there[variant] for variant in section.labels if variant in there]
    full = {e.variant: e.arrays["samples"] for e in artefacts.exhibits(section, "samples", {"samples": axes})}
    moments = [f"NFE {nfe}" for nfe in budgets]
    samples = [[exhibit.arrays.get(name) for name in budgets.values()] for exhibit in exhibits]
    if all(e.variant in full or _has_lost(section, e.variant, "samples") for e in exhibits):
        moments.append("adaptive")
        most = max((len(cloud) for row in samples for cloud in row if cloud is not None), default=0)
        ends = [full[e.variant][:most] if e.variant in full else None for e in exhibits]
        samples = [[*row, end] for row, end in zip(samples, ends, strict=True)]
    return exhibits, moments, samples


def _has_lost(section: Section, variant: str, stage: str) -> bool:
    return any(incident.status == LOST for incident in section.incidents_at(variant, stage))


def few_lost(samples: "list[list[np.ndarray[Any, Any] | None]]") -> str:
    """What the low-NFE figures say of their crosses."""
    lost = any(cloud is None for row in samples for cloud in row)
    return " A cross stands where samples could not be had." if lost else ""


def few_said(section: Section, budgets: dict[int, str]) -> tuple[str, str]:
    """Statement and reading of the low-NFE figures: who is best at the smallest measured budget."""
    reading = (
        "Samples from the same noise at a fixed number of evaluations of the velocity field (two a midpoint step), the "
        "adaptive solver's last. A method whose first panel already looks like its last is cheap to sample."
    )
    metric = distance_metric(section)
    for nfe in budgets:
        at = section.sweep[
            (section.sweep.metric == metric) & (section.sweep.solver == "midpoint") & (section.sweep.nfe == nfe)
        ]
        means = at.groupby("variant").value.mean()
        if len(means) > 1:
            best = str(means.idxmin())
            value = f"{vocabulary.metric(str(metric)).title} {numbers.plain(float(means.min()), 3)}"
            name = section.labels[best]
            return f"With {nfe} evaluations of the midpoint rule {name} is closest to the data: {value}", reading
    return "Samples at few evaluations", reading
