"""The contract of a figure: a name, a title that says what is drawn, the arrays and metrics it needs, and a function.

    @register_figure("ends", title="Where samples end", arrays={"trajectories": 3})
    def ends(data: FigureData) -> matplotlib.figure.Figure: ...

A figure is drawn per section of a report: one dataset under one protocol. It is left out, without a word, if no variant
keeps its arrays or a metric that it names was not measured. If it fails, the page names it and shows the others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.config.names import safe_name
from bench.config.registry import figures
from bench.errors import UsageError, one_line
from bench.report.artefacts import Artefacts, Exhibit, stage_of
from bench.report.sections import Section

if TYPE_CHECKING:  # a plugin that registers a figure does not wait for matplotlib
    from matplotlib.figure import Figure

SMOKE = "Smoke run, no result: "
LAST = 100


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    Attributes:
        title: what is drawn; the registered one if "".
        reading: how to read it.
        name: of the file, after that of its section; the registered name if "".
        note: what it holds for beside its section, in grey ("one seed drawn").
    """

    figure: "Figure"
    title: str = ""
    reading: str = ""
    name: str = ""
    note: str = ""


@dataclass(frozen=True)
class FigureData:
    """What a figure is drawn from.

    Attributes:
        section: its `frame` has a row a measurement; `labels` and `looks` (colour, marker) are by variant; `cells` are
            those of the headline table, means over seeds with their intervals (bench/report/cells.py).
        exhibits: a variant's arrays each, those of the lowest seed that keeps all that the figure needs.
    """

    section: Section
    artefacts: Artefacts
    exhibits: list[Exhibit] = field(default_factory=list)

    def kept(self, arrays: Mapping[str, int]) -> list[Exhibit]:
        """One exhibit per variant that keeps the arrays, by name with their number of axes."""
        (stage,) = {stage_of(name) for name in arrays}
        return self.artefacts.exhibits(self.section, stage, arrays)

    def ends(self, metric: str | None) -> dict[str, str]:
        """A metric's mean in words by variant, "NLL 3.70 ± 0.02", "" for none."""
        found = self.section.scores(metric) if metric else None
        return {variant: found.text(variant) if found else "" for variant in self.section.labels}


Plot = Callable[[FigureData], "Figure | Drawing | Iterable[Drawing] | None"]


@dataclass(eq=False)
class RegisteredFigure:
    """What `register_figure` files: its title, which `--list` shows, and when and where the figure stands."""

    name: str
    title: str
    draw: Plot
    arrays: Mapping[str, int]
    metrics: Sequence[str]
    place: int


def register_figure(
    name: str, title: str, arrays: Mapping[str, int] | None = None, metrics: Sequence[str] = (), place: int = LAST
) -> Callable[[Plot], Plot]:
    """Decorator that files a function (FigureData) -> Figure, Drawing, several of them, or None.

    Args:
        title: one line of what is drawn.
        arrays: names of bench/report/artefacts.py, all of one stage, with their number of axes.
        metrics: that the section must have.
        place: figures stand on the page by it, then by name.

    Raises:
        UsageError: an array that no stage keeps, arrays of two stages, or metrics that are no list of names.
    """
    register, needed = figures.register(name), dict(arrays or {})
    if len(stages := {stage_of(array) for array in needed}) > 1:
        raise UsageError(f"figure {name!r}: arrays of {' and '.join(sorted(stages))}: all are of one stage")
    if isinstance(metrics, str):
        raise UsageError(f"figure {name!r}: metrics = {metrics!r}: expected a list of names")

    def file(draw: Plot) -> Plot:
        if not callable(draw):
            raise UsageError(f"figure {name!r}: {draw!r} is no function of FigureData")
        figure = RegisteredFigure(name, title, draw, needed, metrics, place)
        figure.__module__ = draw.__module__
        register(figure)
        return draw

    return file


def in_order() -> list[RegisteredFigure]:
    """All that are registered, in the order of the page."""
    return sorted(figures.values(), key=lambda one: (one.place, one.name))


def draw(section: Section, artefacts: Artefacts, complaints: list[str], only: str = "") -> Iterator[Drawing]:
    """The figures of a section, or `only` one, in the order of the page; one that fails is named in `complaints`."""
    from bench.report.canvas import entitle

    measured = set(section.frame.metric[section.frame.status == "ok"])
    smoke = SMOKE if section.protocol == "smoke" else ""
    for registered in [figures[only]] if only else in_order():
        try:
            data = FigureData(section, artefacts)
            if registered.arrays:
                data = FigureData(section, artefacts, data.kept(registered.arrays))
            if not set(registered.metrics) <= measured or (registered.arrays and not data.exhibits):
                continue
            drawn = registered.draw(data)
            made = list(drawn) if isinstance(drawn, Iterable) else [drawn]
        except Exception as error:  # hours of records are worth a report without one figure
            complaints.append(f"figure {registered.name} of {section.name}: {one_line(error)}")
            continue
        for one in filter(None, made):
            drawing = one if isinstance(one, Drawing) else Drawing(one)
            title = smoke + (drawing.title or registered.title)
            entitle(drawing.figure, title, " · ".join(filter(None, [section.caption, drawing.note])))
            name = safe_name(f"{section.stem}_{drawing.name or registered.name}")
            yield Drawing(drawing.figure, title, drawing.reading or f"{registered.title}.", name, drawing.note)
