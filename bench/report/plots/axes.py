"""Axes of line plots: limits, ticks, bands and the legend that is also a ranking."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bench.report.plots.canvas import legible
from bench.report.sections import Section
from bench.report.statistics import t_interval
from bench.report.style import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEAST_SEEDS = 3  # with two seeds the 95% interval is 12.7 standard errors wide and hides all else


def band(values: Iterable[float]) -> tuple[float, float]:
    """Ends of the t-interval of the mean; NaN, which draws nothing, for fewer than LEAST_SEEDS values."""
    mean, half_width, n = t_interval(values)
    return (mean - half_width, mean + half_width) if n >= LEAST_SEEDS else (math.nan, math.nan)


def line_looks(section: Section, variants: Iterable[str]) -> dict[str, Any]:
    """Keywords of seaborn.lineplot that give every variant its colour and marker."""
    present = set(variants)
    order = [variant for variant in section.labels if variant in present]
    return {
        "hue_order": order,
        "style_order": order,
        "palette": {variant: section.looks[variant].colour for variant in order},
        "markers": {variant: section.looks[variant].marker for variant in order},
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "markersize": 7,
        "errorbar": band,
        "err_kws": {"alpha": min(0.14, 0.5 / len(order)), "linewidth": 0},
        "dashes": False,
        "legend": False,
    }


def limit(axes: "Axes", means: Any, floor: float | None = None) -> str:
    """Limits by the bulk of the means rather than by bands and outliers; says so where it cuts some off."""
    low, high, most = float(means.min()), float(means.max()), float(means.quantile(0.9))
    if axes.get_yscale() == "log":
        upper = min(high, most * most / low)
        axes.set_ylim(low / 1.12, upper * 1.12)
    else:
        upper = min(high, most + 0.5 * (most - low))
        bottom = min(low, floor) if floor is not None else low
        axes.set_ylim(bottom - 0.06 * (upper - bottom), upper + 0.05 * (upper - bottom))
    return " Values above the axis are cut off." if upper < high else ""


def plain_log(axis: Any, places: Iterable[float] = ()) -> None:
    """Ticks of a logarithmic axis in plain numbers: at `places` that are not too close, or at 1, 2, 5 and the like."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 1
    steps = (
        (1,) if decades > 3 else (1, 3) if decades > 1.6 else (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)
    )
    kept: list[float] = []
    for place in sorted(set(places)):
        if not kept or math.log(place / kept[-1]) > 0.11 * math.log(high / low):
            kept.append(place)
    axis.set_major_locator(FixedLocator(kept) if kept else LogLocator(subs=steps, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(section: Section, axes: "Axes", values: dict[Any, str], heading: str) -> None:
    """Names in their ink at the right, in the order given, with the value each curve stands for."""
    from matplotlib.lines import Line2D

    handles = []
    for variant, value in values.items():
        look = section.looks[variant]
        style: dict[str, Any] = {
            "marker": look.marker,
            "markersize": 6.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
        }
        handles.append(Line2D([], [], color=look.colour, label=f"{section.labels[variant]}  {value}".strip(), **style))
    legend = axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.02),
        borderaxespad=0,
        handlelength=1.8,
        labelspacing=0.6,
        title=heading or None,
        title_fontsize=8.5,
        alignment="left",
    )
    legend.get_title().set_color(MUTED)
    for text, variant in zip(legend.get_texts(), values, strict=True):
        text.set_color(legible(section.looks[variant].colour))
        text.set_fontweight("bold")
