"""Every figure of a section. A function draws where its data exists and answers with nothing where it does not.

A figure is a pure function of the section, the cells of the headline table and the arrays beside the records. It gets
its title here, where a smoke run's is kept from reading like a result.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.config.names import safe_name
from bench.errors import one_line
from bench.report.artefacts import Artefacts
from bench.report.plots import conditional, cost, evaluations, few, images, points, speed, targets, training
from bench.report.plots.canvas import Drawing, entitle
from bench.report.sections import Section

if TYPE_CHECKING:
    from pandas import DataFrame

SMOKE = "Smoke run, no result: "
Figure = Callable[[Section, "DataFrame", Artefacts], Drawing | list[Drawing] | None]
FIGURES: tuple[Figure, ...] = (
    cost.cost_quality,
    targets.time_to_target,
    training.over_training,
    training.over_training_nfe,
    training.sampling_nfe,
    evaluations.over_nfe,
    speed.over_seconds,
    evaluations.solver_error,
    points.densities,
    points.density_flow,
    conditional.conditional,
    points.trajectories,
    few.low_nfe,
    images.samples,
    images.snapshots,
    images.low_nfe,
)


def draw(section: Section, cells: "DataFrame", artefacts: Artefacts, complaints: list[str]) -> Iterator[Drawing]:
    """The figures of a section, in the order of the page; a figure that its data breaks is named in `complaints`."""
    for figure in FIGURES:
        try:
            drawn = figure(section, cells, artefacts)
        except Exception as error:  # hours of records are worth a report without one figure
            what = f"{figure.__module__.rsplit('.', 1)[-1]}.{figure.__name__}"
            complaints.append(f"figure {what} of {section.name}: {one_line(error)}")
            continue
        for drawing in [drawn] if isinstance(drawn, Drawing) else drawn or []:
            statement = f"{SMOKE}{drawing.statement}" if section.protocol == "smoke" else drawing.statement
            caption = f"{section.caption} · {drawing.note}" if drawing.note else section.caption
            entitle(drawing.figure, statement, caption)
            yield replace(drawing, name=safe_name(drawing.name), statement=statement)
