"""Many samplers at many numbers of evaluations: a row of panels per method, a line per sampler."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from bench.report.axes import (
    MARKS,
    above_noise,
    crosses,
    curves,
    floor_line,
    front,
    lacking,
    log_scaled,
    sign_of,
    titled,
)
from bench.report.canvas import WIDTH, legible, name_panel, sheet
from bench.report.figure import Drawing, FigureData, register_figure
from bench.report.sections import Section
from bench.report.style import FIRST, FRONT, SPARE, Look
from bench.report.sweeps import at_every_accuracy, budgets, floor_of, of_samplers, qualities, swept

LOOKS = FIRST + SPARE
HEADINGS = {True: "Solvers of any ODE", False: "Samplers of such models"}
GAP, LEFT, HEIGHT = 0.5, 0.75, 1.7  # inches
COLUMNS, LINE = 2, 0.2  # of a legend, and inches that one of its lines takes


@register_figure("samplers", title="Quality against evaluations of the network, by method and sampler", place=61)
def samplers_by_method(data: FigureData) -> Iterator[Drawing]:
    """A figure for every quality, and for the solvers' error, of a sweep of more than MOST samplers a method."""
    section = data.section
    for metric in [*qualities(section), "ode_error"]:
        rows = swept(section, metric)
        points = at_every_accuracy(rows)
        if of_samplers(points):
            yield _drawn(section, metric, rows, points)


def _drawn(section: Section, metric: str, rows: DataFrame, points: DataFrame) -> Drawing:
    about, kinds, floor = section.about(metric), _kinds(rows), floor_of(section, metric, rows)
    methods = [variant for variant in section.labels if (points.variant == variant).any()]
    width = (WIDTH - LEFT - 0.1 - GAP * (len(kinds) - 1)) / len(kinds)
    legends = LINE * max(1 - -len(looks) // COLUMNS for looks in kinds.values())
    figure, grid = sheet(len(methods), len(kinds), (width, HEIGHT), (GAP, 0.3), LEFT, bottom=0.6 + legends)
    points, floor, below = above_noise(points, floor)
    for variant, line in zip(methods, grid, strict=True):
        of_method = points[points.variant == variant]
        best = front(of_method, "nfe", sign_of(about))
        for axes, (kind, looks) in zip(line, kinds.items(), strict=True):
            axes.plot(best.nfe, best.value, color=FRONT, linewidth=6, solid_capstyle="round", zorder=0.5, alpha=0.6)
            curves(looks, axes, of_method[of_method.solver.isin([*looks])], "nfe", bands=False, by="solver")
            above = log_scaled(axes, points, budgets(points), floor and floor[0])
            drawn = rows[(rows.variant == variant) & rows.solver.isin([*looks])]
            crosses(looks, axes, drawn, "nfe", "accuracy", by="solver")
            if floor:
                floor_line(axes, *floor, "as many data" if axes is grid[0][0] else "")
            axes.tick_params(labelbottom=line is grid[-1])
            if line is grid[-1]:
                axes.set_xlabel("NFE [evaluations]")
                _legend(axes, looks, HEADINGS[kind], (0.45 + LINE / 2) / HEIGHT)
        name_panel(line[0], section.labels[variant], section.looks[variant])
        line[0].set_ylabel(about.title)
    reading = (
        "A row of panels per method, all with the same logarithmic axes. Solvers of any ODE, which see the velocity "
        "alone, stand at the left, samplers made for such models, with an ODE or without, at the right; the grey band, "
        "the same in both, is the best that any of them reaches with so many evaluations."
    )
    reading += " The dashed line is what as many fresh data score." if floor else ""
    title = f"{titled(about, points.n.iloc[0])}, against evaluations of the network, by method and sampler"
    return Drawing(figure, title, reading + above + below + lacking(section, rows), f"{metric}_by_sampler")


def _kinds(rows: DataFrame) -> dict[bool, dict[str, Look]]:
    """The looks of solvers of any ODE (True) and of other samplers, each kind in the order of its records."""
    kinds: dict[bool, dict[str, Look]] = {True: {}, False: {}}
    for name, settings in zip(rows.solver, rows.parsed, strict=True):
        looks = kinds["solver" in settings]
        looks.setdefault(name, LOOKS[len(looks) % len(LOOKS)])
    return {kind: looks for kind, looks in kinds.items() if looks}


def _legend(axes: Axes, looks: dict[str, Look], heading: str, below: float) -> None:
    """The names of the lines below a panel, a share `below` of its height under it."""
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, label=name, **MARKS) for name, look in looks.items()
    ]
    legend = axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(-0.02, -below),
        ncol=COLUMNS,
        borderaxespad=0,
        columnspacing=1.2,
        labelspacing=0.35,
        title=heading,
        alignment="left",
        labelcolor=[legible(look.colour) for look in looks.values()],
    )
    legend.get_title().set(weight="bold")
