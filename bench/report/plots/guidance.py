"""Guidance: what it does to quality and diversity, a line per method through its scales.

A line is a method drawn by one sampler at two scales or more; the scale is a sampler's `guidance`, 1 where it has none.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
from pandas import DataFrame

from bench.config.names import word
from bench.metrics.metric import is_beside
from bench.report import vocabulary
from bench.report.axes import MARKS, crosses, floor_line, lacking, legend, limit, means, titled
from bench.report.canvas import legible, panels
from bench.report.comparable import settled
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.incidents import not_applicable
from bench.report.sections import Section

# Diversity against quality; FD falls as both get better.
PAIRS = (("recall", "precision"), ("coverage", "density"), ("quality", "inception_score"))
COLUMNS, WIDEST = 3, 3.4  # panels in a line, and inches


@register_figure("guidance", title="Quality against diversity by the scale of guidance", place=62)
def quality_against_diversity(data: FigureData) -> Drawing | None:
    """Precision against recall, density against coverage, the inception score against the distance to the data."""
    section, rows = data.section, scaled(data.section)
    best = section.metric("quality") or ""
    pairs = [(best if x == "quality" else x, y) for x, y in PAIRS]
    known = {metric: points_of(rows, metric) for metric in rows.metric.unique()}
    pairs = [pair for pair in pairs if all(metric in known and len(known[metric]) for metric in pair)]
    if not pairs:
        return None
    figure, grid = panels(len(pairs), 2.9, COLUMNS, WIDEST)
    drawn: set[str] = set()
    for axes, (x, y) in zip(grid, pairs, strict=True):
        points = known[y].merge(known[x][["line", "scale", "value"]], on=["line", "scale"], suffixes=("", "_x"))
        drawn |= set(points.variant)
        for of_line, style in _lines(section, points):
            axes.plot(of_line.value_x, of_line.value, **style)
            for at_x, at_y, scale in zip(of_line.value_x, of_line.value, of_line.scale, strict=True):
                place: dict[str, Any] = {"xytext": (4, 4), "textcoords": "offset points", "size": 8}
                axes.annotate(f"{scale:g}", (at_x, at_y), color=legible(style["color"]), **place)
        axes.set(xlabel=titled(section.about(x)), ylabel=titled(section.about(y)))
        axes.margins(0.12)
        axes.xaxis.set_inverted(section.about(x).direction == "lower")
    legend(section, grid[-1], {variant: "" for variant in section.labels if variant in drawn}, "")
    reading = (
        "A line per method, through the scales of its guidance, which stand beside the points: 0 is the model told no "
        "class, 1 the model told its class, and more goes beyond that. Up is better samples; recall and coverage are "
        "their variety, and a distance, whose axis runs backwards, sees both: up and right is better in each panel."
    )
    of_pairs = rows[rows.metric.isin([metric for pair in pairs for metric in pair])]
    return Drawing(figure, reading=reading + lacking(section, of_pairs, "Without a point: values"))


@register_figure("guidance_scale", title="Metrics of samples over the scale of guidance", place=63)
def over_scales(data: FigureData) -> Iterator[Drawing]:
    """A panel per metric of quality."""
    section, rows = data.section, scaled(data.section)
    metrics = sorted(rows.metric[rows.value.notna()].unique(), key=vocabulary.order)
    if not metrics:
        return
    figure, grid = panels(len(metrics), 2.0, COLUMNS, WIDEST)
    cut = ""
    for axes, metric in zip(grid, metrics, strict=True):
        kept = under(rows, metric)
        points = means(kept, ["line", "scale"])
        for of_line, style in _lines(section, points):
            axes.plot(of_line.scale, of_line.value, **style)
            axes.fill_between(of_line.scale, of_line.low, of_line.high, color=style["color"], alpha=0.1, linewidth=0)
        floor = floor_of(section, metric)
        cut = limit(axes, points.value, floor) or cut
        if floor is not None:
            floor_line(axes, floor, float("nan"), "as many data" if axes is grid[0] else "")
        axes.axvline(1, color="0.8", linewidth=0.8, zorder=0)
        axes.set(ylabel=titled(section.about(metric)), xlabel="scale")
        crosses(section.looks, axes, kept, "scale", "scale")
    drawn = set(rows.variant[rows.metric.isin(metrics)])
    named = {variant: "" for variant in section.labels if variant in drawn}
    legend(section, grid[min(COLUMNS, len(grid)) - 1], named, "")
    reading = (
        "Scale 0 is the model told no class; the thin line at 1 is the model told its class without guidance. The "
        "dashed line is what as many data score, if that was measured."
    )
    yield Drawing(figure, reading=reading + cut + lacking(section, rows))


def scaled(section: Section) -> DataFrame:
    """The measurements of samples that have a `scale`, with their `line`: of samplers with two scales or more."""
    rows = section.measured
    rows = rows[(rows.stage == "samples") & ~rows.metric.map(is_beside).astype(bool) & ~not_applicable(rows)]
    rows = rows[np.array([section.about(metric).table == "quality" for metric in rows.metric], bool)]
    scales = [float(settings.get("guidance", 1.0)) for settings in rows.parsed]
    names = [
        str(settings.get("sampler", "")).replace(f"-{word('guidance', scale)}", "", 1)
        for settings, scale in zip(rows.parsed, scales, strict=True)
    ]
    ways = [vocabulary.solver({**settings, "sampler": name}) for settings, name in zip(rows.parsed, names, strict=True)]
    rows = rows.assign(scale=scales, line=[f"{v}: {way}" for v, way in zip(rows.variant, ways, strict=True)])
    return rows[rows.groupby("line").scale.transform("nunique") > 1]


def under(rows: DataFrame, metric: str) -> DataFrame:
    """The rows of a metric under the settings that most variants share, and what was lost (NaN)."""
    rows = rows[rows.metric == metric]
    had = rows[rows.value.notna()]
    return rows[(rows.comparable == settled(had.comparable, had.variant)) | rows.value.isna()]


def points_of(rows: DataFrame, metric: str) -> DataFrame:
    """Means over seeds of a metric at every scale of every line."""
    return means(under(rows, metric), ["line", "scale"])


def floor_of(section: Section, metric: str) -> float | None:
    """What as many data score."""
    found = section.scores(metric)
    return found.floor if found else None


def _lines(section: Section, points: DataFrame) -> Iterator[tuple[DataFrame, dict[str, Any]]]:
    """The points of every line by scale, and how it is drawn: a variant's further samplers are broken lines."""
    for variant, look in section.looks.items():
        of_variant = points[points.variant == variant]
        for (_, of_line), dashes in zip(of_variant.groupby("line", sort=False), cycle(("-", "--", ":", "-."))):
            style = {"color": look.colour, "marker": look.marker, "linestyle": dashes, **MARKS}
            yield of_line.sort_values("scale"), style
