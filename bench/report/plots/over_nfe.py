"""What evaluations of the velocity field buy: quality at every accuracy of the sweep, one facet a solver."""

from collections.abc import Iterator

from bench.report import vocabulary
from bench.report.axes import LEGEND, lacking, legend, limit, plain_log, titled
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sweeps import at_every_accuracy, facets, lost_at_some_accuracy


@register_figure("over_nfe", title="Quality against evaluations of the velocity field, by solver", place=60)
def over_nfe(data: FigureData) -> Iterator[Drawing]:
    """A figure for every quality of the sweep; its legend ranks the variants at the smallest NFE that all have."""
    section = data.section
    measured = {name for name in section.sweep.metric if section.about(name).group == "quality"}
    for metric in sorted(measured - {"ode_error"}, key=vocabulary.order):
        about, points = section.about(metric), at_every_accuracy(section, metric)
        lost = lost_at_some_accuracy(section, metric)
        figure, axes = facets(section, points, lost, LEGEND)
        for one in axes:
            cut = limit(one, points.value)
            if one.get_yscale() == "log":
                plain_log(one.yaxis)
        axes[0].set_ylabel(titled(about, points.n.iloc[0]))
        shared = points[points.groupby(["solver", "nfe"]).variant.transform("nunique") == points.variant.nunique()]
        at = shared[shared.nfe == shared.nfe.min()] if len(shared) else points
        order = at.sort_values("value", ascending=about.better != "higher").variant.unique()
        legend(section, axes[-1], dict.fromkeys(order, ""), "")
        reading = (
            "Both axes are logarithmic. One facet a solver; a fixed-step solver spends NFE in equal steps, dopri5 is "
            "run at falling tolerances. Where a curve levels out, the model's error is left and more evaluations are "
            "wasted."
        )
        title = f"{about.title} against evaluations of the velocity field, by solver"
        yield Drawing(figure, title, reading + cut + lacking(section, lost), f"{metric}_over_nfe")
