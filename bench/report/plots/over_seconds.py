"""Quality against the seconds of sampling, over every setting of the sweep, fixed steps and tolerances alike."""

from typing import TYPE_CHECKING, Any

from bench.report import vocabulary
from bench.report.axes import FRONT, LEGEND, MARKS, legend, pareto, plain_log, sized, titled
from bench.report.canvas import WIDTH, sheet
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.labels import Label, place_labels
from bench.report.scores import distance_metric
from bench.report.sections import each, listed
from bench.report.sweeps import at_every_accuracy, lost_at_some_accuracy

if TYPE_CHECKING:
    from pandas import DataFrame

NEAR = 1.1  # as good as the best but for a tenth


@register_figure("over_seconds", title="Quality against sampling time, over every setting of the sweep", place=70)
def over_seconds(data: FigureData) -> Drawing | None:
    """One curve a baseline, through the settings of its own Pareto front; the front over all of them in grey."""
    import pandas

    section, metric = data.section, distance_metric(data.section)
    if metric is None or not {metric, "sampling_seconds"} <= set(section.sweep.metric):
        return None
    about, key = section.about(metric), ["variant", "solver", "accuracy"]
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
    quick = points.seconds[points.value <= NEAR * points.value.min()].idxmin()
    told = pandas.concat([points.loc[[points.value.idxmin()]], points.loc[[quick]]]).drop_duplicates()
    looks = section.looks
    place_labels(
        axes, [Label(_setting(r), r.seconds, r.value, looks[r.variant].colour, False, True) for r in each(told)]
    )
    ends = {variant: float(part.value.min()) for variant, part in fronts.items()}
    ranked = {variant: f"{ends[variant]:#.3g}" for variant in sorted(ends, key=ends.__getitem__)}
    legend(section, axes, ranked, "best of all settings, mean")
    reading = (
        "Every point is a solver at one number of steps or tolerance, as the mean over seeds; down and left is better, "
        "the axes are logarithmic. A line joins the settings of one method that none of its others beats in both, the "
        "grey one those that no setting of any method beats. Named are the lowest mean and the fastest setting within "
        "a tenth of it. Faint points are beaten; the worst are cut off."
    )
    lost = lost_at_some_accuracy(section, metric).drop_duplicates(key).variant.tolist()
    if lost:
        named = [f"{section.labels[v]} ({lost.count(v)})" for v in section.labels if v in lost]
        reading += f" Settings that could not be solved have no seconds and no place: {listed(named)}."
    title = f"{about.title} against sampling time, over every setting of the sweep"
    return Drawing(figure, title, reading, f"{metric}_over_seconds")


def front(points: "DataFrame") -> "DataFrame":
    """The points that no other is at least as good as in seconds and value and better in one, fastest first."""
    return points.iloc[pareto(list(points.seconds), list(points.value))]


def _setting(row: Any) -> str:
    how = f", NFE {row.nfe:.0f}" if row.fixed else f" {vocabulary.tolerance(float(row.accuracy))}"
    return row.solver + how
