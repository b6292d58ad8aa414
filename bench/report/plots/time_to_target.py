"""How long a method trains until it is good enough: seconds to a target that most methods reach.

The target is the value that about three quarters of the methods reach with every seed, rounded up to three digits.
"""

import itertools
import math
from typing import Any

from matplotlib.axes import Axes
from pandas import DataFrame

from bench.report import numbers
from bench.report.axes import sign_of, sized
from bench.report.canvas import WIDTH, legible, room, sheet
from bench.report.course import finished, validated
from bench.report.crossings import crossing
from bench.report.extract import each, listed
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.statistics import LEAST_SEEDS, Interval, t_interval
from bench.report.style import FAINT, MUTED

SHARE = 0.75
FEW = 3  # evaluations of the network per training step; an ODE solve takes more, and so do two networks or a teacher
GROUPS = {
    False: f"up to {FEW} evaluations of the network per training step",
    True: f"more than {FEW} evaluations of the network per training step",
}
BAR, TIMES = 0.3, 1.4  # inches


@register_figure("time_to_target", title="Seconds of training until validation reaches a target", place=20)
def time_to_target(data: FigureData) -> Drawing | None:
    """Horizontal bars, one panel for the likelihood and one for the distance to the data."""
    section = data.section
    wanted = [section.metric("nll", "train"), section.metric("quality", "train")]
    curves = {metric: finished(section, metric) for metric in wanted if metric in validated(section)}
    signs = {metric: sign_of(section.about(metric)) for metric in curves}
    rows = {m: curve[curve.value.notna()].assign(value=signs[m] * curve.value) for m, curve in curves.items()}
    rows = {metric: found for metric, found in rows.items() if found.variant.nunique() > 1}
    if not rows:
        return None
    goals = {metric: target(found) for metric, found in rows.items()}
    words = {}
    for metric, goal in goals.items():
        about = section.about(metric)
        words[metric] = f"{about.title} {numbers.plain(signs[metric] * goal, 3)} {about.unit}".strip()
    done = {metric: finishes(section, found, goals[metric]) for metric, found in rows.items()}
    lines = max(len(found) + found.many.nunique() for found in done.values())
    left, letters = room(section.labels.values(), least=1.35, most=2.6)  # names at the left, times at the right
    width = (WIDTH - (left + TIMES) * len(rows)) / len(rows)
    figure, axes = sheet(1, len(rows), (width, lines * BAR), (left + TIMES, 0), left=left, right=TIMES, bottom=0.55)
    for one, metric in zip(axes[0], rows, strict=True):
        _bars(section, one, done[metric].assign(best=signs[metric] * done[metric].best), lines, letters)
        one.set_title(f"{words[metric]}{sized(rows[metric].n.iloc[0])}", weight="bold", size=9.5)
    reading = (
        "Seconds of training steps alone until the validation curve reaches the target, interpolated between "
        "validations; the target is what about three quarters of the methods reach. Mean over the seeds, whiskers: 95% "
        "t-interval from three seeds on. The evaluations of the network per training step are counted: methods that "
        "solve an ODE in every step take more, and so do those of several networks or with a teacher."
    )
    lost = {variant for metric in rows for variant in curves[metric].variant[curves[metric].value.isna()]}
    if without := [label for variant, label in section.labels.items() if variant in lost]:
        reading += f" Validations that could not be had are left out: some of {listed(without)}."
    title = f"Seconds of training to {listed(words.values())}"
    return Drawing(figure, title, reading)


def target(rows: DataFrame) -> float:
    """What SHARE of the variants reach with every seed, rounded up to three digits; lower is better."""
    reached = rows.groupby(["variant", "run_id"]).value.min().groupby("variant").max().sort_values()
    value = float(reached.iloc[max(2, round(SHARE * len(reached))) - 1])
    scale = 10.0 ** (2 - math.floor(math.log10(abs(value) or 1.0)))
    return math.ceil(value * scale - 1e-9) / scale


def finishes(section: Section, rows: DataFrame, goal: float) -> DataFrame:
    """When each variant reached the target: few evaluations per step first, then by time, those that never did last.

    `seconds` are of the `reached` of `seeds`, NaN for none; `best` is the mean of the runs' lowest values, `spent` that
    of the seconds of the whole training.
    """
    found = []
    for variant in (variant for variant in section.labels if (rows.variant == variant).any()):
        runs = [run for _, run in rows[rows.variant == variant].groupby("run_id")]
        times = [crossing(list(run.seconds), list(run.value), goal) for run in runs]
        reached = [time for time in times if time < math.inf]
        interval = t_interval(reached) if reached else Interval(math.nan, math.nan, 0)
        best = sum(run.value.min() for run in runs) / len(runs)
        last = DataFrame([run.iloc[-1] for run in runs])
        many = (last.nfe_training / last.step).mean() > FEW
        found.append((variant, many, *interval, len(runs), best, last.seconds.mean()))
    columns = ["variant", "many", "seconds", "half_width", "reached", "seeds", "best", "spent"]
    return DataFrame(found, columns=columns).sort_values(["many", "seconds", "best"], ignore_index=True)


def _bars(section: Section, axes: Axes, found: DataFrame, lines: int, letters: float) -> None:
    most = found.seconds.fillna(found.spent).max()
    axes.set(xlim=(0, 1.15 * most), ylim=(lines - 0.4, -0.9), yticks=[], xlabel="Training time [s], without evaluation")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    places = itertools.count(-0.4)
    for many, group in found.groupby("many"):
        axes.text(-0.012, next(places), GROUPS[bool(many)], size=8.5, color=MUTED, **beside)
        for row, y in zip(each(group), places, strict=False):
            colour = section.looks[row.variant].colour
            ink = legible(colour)
            axes.text(
                -0.012, y, section.labels[row.variant], ha="right", size=letters, weight="bold", color=ink, **beside
            )
            if row.reached:
                axes.barh(y, row.seconds, 0.68, color=colour, alpha=1 if row.reached == row.seeds else 0.45)
                if row.reached >= LEAST_SEEDS:
                    axes.errorbar(row.seconds, y, xerr=row.half_width, color=ink, linewidth=1, capsize=2)
                text = f"{numbers.plain(row.seconds, 3)} s"
                text += f", {row.reached} of {row.seeds} seeds" if row.reached < row.seeds else ""
            else:
                axes.barh(y, row.spent, 0.68, facecolor="none", edgecolor=FAINT, linestyle=(0, (3, 2)))
                text = f"not reached: {numbers.plain(row.best, 3)}"
            axes.text(1.02, y, text, size=8.5, **beside)
