"""Every figure of every section drawn and saved as PNG and PDF, sections side by side in processes of their own.

Figures are most of a report's time and share nothing but the frame. None of joblib's processes is forked, as a fork of
a process with threads may hang. If one of them is lost, sections that have not come are drawn once more, one by one.
"""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from matplotlib.figure import Figure

from bench.config.names import safe_name
from bench.config.registry import load_plugin, loaded
from bench.errors import one_line
from bench.launch.surroundings import applied
from bench.records.files import write_bytes
from bench.report.artefacts import Artefacts
from bench.report.canvas import DPI, entitle, themed
from bench.report.figure import Drawing, draw
from bench.report.overview import Overview
from bench.report.pictures import OVERVIEW, Picture, palette
from bench.report.sections import Section

WORTH = 2  # sections that a process must have, to be worth its start


class Drawn(NamedTuple):
    """The pictures of a section, and what could not be read or drawn, a sentence each."""

    pictures: list[Picture]
    complaints: list[str]


def figures(root: Path, sections: Sequence[Section]) -> Iterator[Drawn]:
    """The figures of each section, saved under root/plots, in the order of the sections."""
    workers = min(len(sections) // WORTH, os.cpu_count() or 1)
    if workers < 2:
        yield from (_task([], root, section) for section in sections)
        return
    found, _ = _side_by_side(root, sections, workers)
    yield from found
    for section in sections[len(found) :]:
        alone, why = _side_by_side(root, [section], 2)
        yield from alone or [_lost(section, why)]


def _lost(section: Section, why: str) -> Drawn:
    return Drawn([], [f"figures of {section.name}: {why}"])


def _side_by_side(root: Path, sections: Sequence[Section], workers: int) -> tuple[list[Drawn], str]:
    """What processes have drawn of the sections, in their order, until one of them was lost, if any was, and why."""
    found: list[Drawn] = []
    tasks = (delayed(_task)(list(loaded), root.resolve(), section) for section in sections)
    try:
        with applied():  # a process finds the project as this one does, however that was started
            for drawn in Parallel(workers, return_as="generator", max_nbytes=None)(tasks):
                found.append(drawn)
    except TerminatedWorkerError:
        return found, "the process that drew them was killed"
    except Exception as error:  # hours of records are worth a report without figures
        return found, one_line(error)
    finally:
        get_reusable_executor().shutdown()  # of processes that would wait for more to do
    return found, ""


def _task(plugins: Sequence[str], root: Path, section: Section) -> Drawn:
    try:
        for plugin in plugins:  # which may have been edited since
            load_plugin(plugin)
        return _drawn(root, section)
    except Exception as error:
        return _lost(section, one_line(error))


def _drawn(root: Path, section: Section) -> Drawn:
    artefacts = Artefacts(root)
    pictures: list[Picture] = []
    complaints: list[str] = []
    with themed():
        for drawn in draw(section, artefacts, complaints):
            try:
                pictures.append(_saved(root, drawn, section.stem))
            except Exception as error:  # hours of records are worth a report without one figure
                complaints.append(f"figure {drawn.name}: {one_line(error)}")
    complaints += [f"{name}: {reason}" for name, reason in sorted(artefacts.unreadable.items())]
    return Drawn(pictures, complaints)


def overview_pictures(root: Path, overviews: Sequence[Overview]) -> list[Picture]:
    pictures = []
    with themed():
        for one in overviews:
            drawn = one.drawing()
            entitle(drawn.figure, drawn.title, one.title)
            name = safe_name("-".join(["overview", one.suite, one.protocol] if overviews[1:] else ["overview"]))
            pictures.append(_saved(root, replace(drawn, name=name), OVERVIEW))
    return pictures


def _saved(root: Path, drawn: Drawing, dataset: str) -> Picture:
    """The drawing as files under root/plots, and as a picture of the page."""
    png = palette(_file(drawn.figure, "png", Software=None))
    write_bytes(root / "plots" / f"{drawn.name}.pdf", _file(drawn.figure, "pdf", CreationDate=None))
    write_bytes(root / "plots" / f"{drawn.name}.png", png)
    return Picture(drawn.name, dataset, drawn.title, drawn.reading, png)


def _file(figure: Figure, suffix: str, **metadata: None) -> bytes:
    """The bytes of a figure, without what would tell one drawing of it from another."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
