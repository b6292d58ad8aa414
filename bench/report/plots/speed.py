"""Quality against the seconds of sampling, over every setting of the sweep, fixed steps and tolerances alike."""

from typing import TYPE_CHECKING, Any

from bench.report import vocabulary
from bench.report.artefacts import Artefacts
from bench.report.plots.axes import LEGEND, MARKS, legend, plain_log, sized, titled
from bench.report.plots.canvas import WIDTH, Drawing, fitting, sheet
from bench.report.plots.cost import FRONT, pareto
from bench.report.plots.evaluations import at_every_accuracy, lost_at_some_accuracy
from bench.report.plots.labels import Label, place_labels
from bench.report.scores import distance_metric
from bench.report.sections import Section, each, listed

if TYPE_CHECKING:
    from pandas import DataFrame

NEAR = 1.1  # as good as the best but for a tenth


def over_seconds(section: Section, cells: "DataFrame", artefacts: Artefacts) -> Drawing | None:
    """One curve a baseline, through the settings of its own Pareto front; the front over all of them in grey."""
    import pandas

    metric, measured = distance_metric(section), set(section.sweep.metric)
    if not {metric, "sampling_seconds"} <= measured:
        return None
    assert metric is not None
    about, key = vocabulary.metric(metric), ["variant", "solver", "accuracy"]
    seconds = at_every_accuracy(section, "sampling_seconds").set_index(key).value.rename("seconds")
    points = at_every_accuracy(section, metric).join(seconds, on=key, how="inner")
    if points.empty:
        return None
    fronts = {v: front(points[points.variant == v]) for v in section.labels if (points.variant == v).any()}
    overall = front(points)
    figure, [[axes]] = sheet(1, 1, (WIDTH - 0.75 - LEGEND, 3.9), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    # The fastest settings of one method can be so bad that they would press all else flat.
    worst = max(float(part.value.min()) for part in fronts.values())
    high = min(max(float(part.value.quantile(0.75)) for part in fronts.values()), 2 * worst)
    low = float(points.value.min())
    if low > 0:
        axes.set_yscale("log")
    steps = [*overall.seconds, points.seconds.max() * 10], [*overall.value, overall.value.iloc[-1]]
    axes.step([overall.seconds.iloc[0], *steps[0]], [high * 100, *steps[1]], where="post", color=FRONT, linewidth=5)
    for variant, part in fronts.items():
        look, mine = section.looks[variant], points[points.variant == variant]
        axes.plot(mine.seconds, mine.value, look.marker, color=look.colour, alpha=0.25, markersize=4, markeredgewidth=0)
        axes.plot(part.seconds, part.value, color=look.colour, marker=look.marker, **MARKS)
    margin = (high - low) * 0.08
    axes.set_ylim(*((low / 1.1, high * 1.1) if low > 0 else (low - margin, high + margin)))
    axes.set(xscale="log", xlim=(points.seconds.min() / 1.3, points.seconds.max() * 1.3))
    n = points.n.iloc[0]
    axes.set(xlabel=f"Sampling time [s]{sized(n)}", ylabel=titled(about, n))
    plain_log(axes.xaxis)
    if low > 0:
        plain_log(axes.yaxis)
    best, quick = points.loc[[points.value.idxmin()]], points.loc[[_quick(points)]]
    told = pandas.concat([best, quick]).drop_duplicates()
    labels = [
        Label(_setting(row), row.seconds, row.value, section.looks[row.variant].colour, False, True)
        for row in each(told)
    ]
    place_labels(axes, labels)
    ends = {variant: float(part.value.min()) for variant, part in fronts.items()}
    ranked = sorted(ends, key=ends.__getitem__)
    legend(section, axes, {variant: f"{ends[variant]:#.3g}" for variant in ranked}, "best of all settings, mean")
    reading = (
        "Every point is a solver at one number of steps or tolerance, as the mean over seeds; down and left is better, "
        "the axes are logarithmic. A line joins the settings of one method that none of its others beats in both, the "
        "grey one those that no setting of any method beats. Faint points are beaten; the worst are cut off."
    )
    if (
        lost := lost_at_some_accuracy(section, metric)
        .drop_duplicates(["variant", "solver", "accuracy"])
        .variant.tolist()
    ):
        named = [f"{section.labels[v]} ({lost.count(v)})" for v in section.labels if v in lost]
        reading += f" Settings that could not be solved have no seconds and no place: {listed(named)}."
    return Drawing(f"{section.stem}_{metric}_over_seconds", figure, _said(section, points, about), reading)


def front(points: "DataFrame") -> "DataFrame":
    """The points that no other is at least as good as in seconds and value and better in one, fastest first."""
    return points.iloc[pareto(list(points.seconds), list(points.value))]


def _quick(points: "DataFrame") -> Any:
    """The index of the fastest setting that is NEAR the best."""
    return points.seconds[points.value <= NEAR * points.value.min()].idxmin()


def _setting(row: Any) -> str:
    return (
        f"{row.solver}, NFE {row.nfe:.0f}" if row.fixed else f"{row.solver} {vocabulary.tolerance(float(row.accuracy))}"
    )


def _said(section: Section, points: "DataFrame", about: vocabulary.Metric) -> str:
    (quick,) = each(points.loc[[_quick(points)]])
    name, how = section.labels[quick.variant], f"{_setting(quick)}, {quick.seconds:#.2g} s"
    return fitting(
        f"Within a tenth of the best {about.title}, {points.value.min():#.3g}, the fastest is {name}: {how}",
        f"{name} is the fastest within a tenth of the best {about.title}: {how}",
    )
