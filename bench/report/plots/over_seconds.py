"""Quality against the seconds of sampling, over every setting of the sweep, fixed steps and tolerances alike."""

from bench.report import vocabulary
from bench.report.axes import MARKS, front, legend, name_point, plain_log, sign_of, sized, titled
from bench.report.canvas import LEGEND, WIDTH, sheet
from bench.report.extract import each, listed
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.style import FRONT
from bench.report.sweeps import at_every_accuracy, swept

NEAR = 1.1  # as good as the best but for a tenth


@register_figure("over_seconds", title="Quality against sampling time, over every setting of the sweep", place=70)
def over_seconds(data: FigureData) -> Drawing | None:
    """One curve a baseline, through the settings of its own Pareto front; the front over all of them in grey."""
    section, metric = data.section, data.section.metric("quality", "sweep")
    if metric is None or not {metric, "sampling_seconds"} <= set(section.sweep.metric):
        return None
    about, key = section.about(metric), ["variant", "solver", "accuracy"]
    rows = swept(section, metric)
    seconds = at_every_accuracy(swept(section, "sampling_seconds")).set_index(key).value.rename("seconds")
    points = at_every_accuracy(rows).join(seconds, on=key, how="inner")
    if points.empty:
        return None
    sign = sign_of(about)
    found = (points[points.variant == variant] for variant in section.labels)
    fronts = {part.variant.iloc[0]: front(part, "seconds", sign) for part in found if len(part)}
    overall = front(points, "seconds", sign)
    figure, [[axes]] = sheet(1, 1, (WIDTH - 0.75 - LEGEND, 3.9), left=0.75, right=LEGEND, bottom=0.6, head=0.05)
    # The fastest settings of one method can be so bad that they would press all else flat.
    ends = {variant: float(part.value.iloc[-1]) for variant, part in fronts.items()}
    high = min(max(float(part.value.quantile(0.75)) for part in fronts.values()), 2 * max(ends.values()))
    high = high if sign > 0 else max(ends.values())
    low = float(points.value.min())
    if low > 0:
        axes.set_yscale("log")
    steps = [*overall.seconds, points.seconds.max() * 10], [*overall.value, overall.value.iloc[-1]]
    edge = high * 100 if sign > 0 else low / 100
    axes.step([overall.seconds.iloc[0], *steps[0]], [edge, *steps[1]], where="post", color=FRONT, linewidth=5)
    for variant, part in fronts.items():
        look, of_variant = section.looks[variant], points[points.variant == variant]
        axes.plot(
            of_variant.seconds,
            of_variant.value,
            look.marker,
            color=look.colour,
            alpha=0.25,
            markersize=4,
            markeredgewidth=0,
        )
        axes.plot(part.seconds, part.value, color=look.colour, marker=look.marker, linestyle=look.line, **MARKS)
    margin = (high - low) * 0.08
    bottom = low * (low / high) ** 0.08 if low > 0 else low - margin  # below the lowest point its setting is named
    axes.set_ylim(bottom, high * 1.1 if low > 0 else high + margin)
    axes.set(xscale="log", xlim=(points.seconds.min() / 1.3, points.seconds.max() * 1.3))
    n = points.n.iloc[0]
    axes.set(xlabel=f"Sampling time [s]{sized(n)}", ylabel=titled(about, n))
    plain_log(axes.xaxis)
    if low > 0:
        plain_log(axes.yaxis)
    near = overall[sign * overall.value <= sign * overall.value.iloc[-1] * NEAR**sign]
    for row in each(near.iloc[[0, -1]].drop_duplicates()):
        name = row.solver + (f", NFE {row.nfe:.0f}" if row.fixed else f" {vocabulary.tolerance(float(row.accuracy))}")
        name_point(axes, row.seconds, row.value, name, section.looks[row.variant].colour)
    ranked = {variant: f"{ends[variant]:#.3g}" for variant in sorted(ends, key=lambda v: sign * ends[v])}
    legend(section, axes, ranked, "best of all settings, mean")
    reading = (
        "Every point is a solver at one number of steps or tolerance, as the mean over seeds; left is better, and "
        "down unless the axis says otherwise. A line joins the settings of one method that none of its others beats in "
        "both, the grey one those that no setting of any method beats. Named are the best mean and the fastest setting "
        "within a tenth of it. Faint points are beaten; the worst are cut off."
    )
    if lost := rows[rows.value.isna()].drop_duplicates(key).variant.tolist():
        named = [f"{label} ({lost.count(v)})" for v, label in section.labels.items() if v in lost]
        reading += f" Settings that could not be solved have no seconds and no place: {listed(named)}."
    title = f"{about.title} against sampling time, over every setting of the sweep"
    return Drawing(figure, title, reading, f"{metric}_over_seconds")
