"""How long a method trains until it is good enough: seconds to a target that most methods reach.

The target is the value that about three quarters of the methods reach with every seed, rounded up to three digits.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report import numbers, vocabulary
from bench.report.axes import LEAST_SEEDS, sized
from bench.report.canvas import WIDTH, legible, sheet
from bench.report.comparable import of_one_kind
from bench.report.course import validated
from bench.report.crossings import crossing
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.scores import distance_metric, likelihood_metric
from bench.report.sections import Section, listed
from bench.report.statistics import Interval, t_interval
from bench.report.style import FAINT, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

SHARE = 0.75
SOLVES = 3.0  # more evaluations a training step than this are an ODE solve
BAR = 0.3  # inches


class Finish(NamedTuple):
    """When a variant reached the target, or how far it came."""

    variant: str
    time: Interval | None
    reached: int
    seeds: int
    best: float
    spent: float
    evaluations: float

    @property
    def simulates(self) -> bool:
        """Whether a training step holds an ODE solve."""
        return self.evaluations > SOLVES


@register_figure("time_to_target", title="Seconds of training until validation reaches a target", place=20)
def time_to_target(data: FigureData) -> Drawing | None:
    """Horizontal bars, one panel for the likelihood and one for the distance to the data."""
    section = data.section
    wanted = [likelihood_metric(section), distance_metric(section)]
    metrics = [metric for metric in wanted if metric in validated(section)]
    rows = {metric: of_one_kind(section.curve[section.curve.metric == metric]) for metric in metrics}
    rows = {metric: found for metric, found in rows.items() if found.variant.nunique() > 1}
    if not rows:
        return None
    goals = {metric: target(found) for metric, found in rows.items()}
    finished = {metric: finishes(section, found, goals[metric]) for metric, found in rows.items()}
    lines = max(len(found) + len({f.simulates for f in found}) for found in finished.values())
    left, gap = 1.35, 2.75  # names at the left, times at the right
    width = (WIDTH - left - 1.4 - gap * (len(rows) - 1)) / len(rows)
    figure, axes = sheet(1, len(rows), (width, lines * BAR), (gap, 0), left=left, right=1.4, bottom=0.55)
    for one, metric in zip(axes[0], rows, strict=True):
        _bars(section, one, finished[metric], section.about(metric), lines)
        one.set_title(
            f"{_goal(section, metric, goals[metric])}{sized(rows[metric].n.iloc[0])}", weight="bold", size=9.5
        )
    reading = (
        "Seconds of training steps alone until the validation curve falls to the target, interpolated between "
        "validations; the target is what about three quarters of the methods reach. Mean over the seeds, whiskers: 95% "
        "t-interval from three seeds on. Simulation-based methods solve an ODE in every training step; the number "
        "of network evaluations a step is measured."
    )
    lost = section.lost_curve[section.lost_curve.metric.isin(list(rows))]
    if without := [label for variant, label in section.labels.items() if (lost.variant == variant).any()]:
        reading += f" Validations that could not be had are left out: some of {listed(without)}."
    title = f"Seconds of training to {listed(_goal(section, metric, goal) for metric, goal in goals.items())}"
    return Drawing(figure, title, reading)


def target(rows: "DataFrame") -> float:
    """What SHARE of the variants reach with every seed, rounded up to three digits; lower is better."""
    every = rows.groupby(["variant", "run_id"]).value.min().groupby("variant").max().sort_values()
    value = float(every.iloc[max(2, round(SHARE * len(every))) - 1])
    scale = 10.0 ** (2 - math.floor(math.log10(abs(value) or 1.0)))
    return math.ceil(value * scale - 1e-9) / scale


def finishes(section: Section, rows: "DataFrame", goal: float) -> list[Finish]:
    """One a variant: simulation-free ones first, then by time, those that never reach the target last."""
    found = []
    for variant in (variant for variant in section.labels if (rows.variant == variant).any()):
        runs = [run for _, run in rows[rows.variant == variant].groupby("run_id")]
        times = [crossing(list(run.seconds), list(run.value), goal) for run in runs]
        reached = [time for time in times if time < math.inf]
        last = [run.iloc[-1] for run in runs]
        found.append(
            Finish(
                variant,
                t_interval(reached) if reached else None,
                len(reached),
                len(runs),
                sum(run.value.min() for run in runs) / len(runs),
                sum(one.seconds for one in last) / len(last),
                sum(one.nfe_training / one.step for one in last) / len(last),
            )
        )
    return sorted(found, key=lambda f: (f.simulates, f.time is None, f.time.mean if f.time else f.best))


def _goal(section: Section, metric: str, goal: float) -> str:
    about = section.about(metric)
    return f"{about.title} {numbers.plain(goal, 3)}{f' {about.unit}' if about.unit else ''}"


def _bars(section: Section, axes: "Axes", found: list[Finish], about: vocabulary.Metric, lines: float) -> None:
    most = max(f.time.mean if f.time else f.spent for f in found)
    axes.set(xlim=(0, 1.15 * most), ylim=(lines - 0.4, -0.9), yticks=[], xlabel="Training time [s], without evaluation")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    place = axes.get_yaxis_transform()
    y = -0.4
    group = None
    for f in found:
        if f.simulates is not group:
            group = f.simulates
            name = "an ODE solve in every training step" if group else "simulation-free"
            side = "right" if len(name) < 18 else "left"
            axes.text(-0.012, y, name, transform=place, ha=side, va="center", size=8.5, color=MUTED)
            y += 1
        look = section.looks[f.variant]
        ink = legible(look.colour)
        style: dict[str, Any] = {"ha": "right", "va": "center", "size": 9, "weight": "bold", "color": ink}
        axes.text(-0.012, y, section.labels[f.variant], transform=place, **style)
        if f.time:
            axes.barh(y, f.time.mean, 0.68, color=look.colour, alpha=1 if f.reached == f.seeds else 0.45)
            if f.time.n >= LEAST_SEEDS:
                axes.errorbar(f.time.mean, y, xerr=f.time.half_width, color=ink, linewidth=1, capsize=2)
            text = f"{numbers.plain(f.time.mean, 3)} s"
            text += f", {f.reached} of {f.seeds} seeds" if f.reached < f.seeds else ""
        else:
            axes.barh(y, f.spent, 0.68, facecolor="none", edgecolor=FAINT, linestyle=(0, (3, 2)))
            text = f"not reached: {numbers.plain(f.best, 3)}"
        axes.text(1.02, y, text, transform=place, va="center", size=8.5)
        y += 1
