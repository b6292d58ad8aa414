"""Every figure of every section drawn and saved as PNG and PDF, sections side by side in processes of their own.

Figures are most of a report's time and share nothing but the frame. The processes are plain ones that leave a file a
section: one that is killed takes nothing else with it, nobody waits for it, and its sections are drawn once more. None
is forked, as a fork of a process with threads may hang.
"""

import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.config.names import safe_name
from bench.config.registry import load_plugin, loaded
from bench.errors import one_line
from bench.launch.surroundings import environment
from bench.records.files import write_bytes
from bench.report.artefacts import Artefacts
from bench.report.canvas import entitle
from bench.report.figure import Drawing, draw
from bench.report.overview import Overview
from bench.report.pictures import OVERVIEW, Picture, palette
from bench.report.sections import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

WORTH = 2  # sections that a process must have, to be worth its start
# A process finds the project as this one does, however that was started.
CHILD = "import sys; sys.path[:] = sys.argv[2:]; from bench.report.figures import drawing; drawing(sys.argv[1])"
LONGEST = 300  # characters of what a process that ended early had to say


class Drawn(NamedTuple):
    """The pictures of a section, and what could not be read or drawn, a sentence each."""

    pictures: list[Picture]
    complaints: list[str]


def figures(root: Path, sections: Sequence[Section], cells: "DataFrame") -> Iterator[Drawn]:
    """The figures of each section, saved under root/plots, in the order of the sections."""
    workers = min(len(sections) // WORTH, os.cpu_count() or 1)
    if workers < 2 or not sys.executable:
        yield from (_drawn(root, cells, section) for section in sections)
        return
    asked = dict(enumerate(sections))
    found, _ = _side_by_side(root, asked, cells, workers)
    lost = {place: section for place, section in asked.items() if place not in found}
    again, said = _side_by_side(root, lost, cells, 1) if lost else ({}, "")
    for place, section in asked.items():
        yield found.get(place) or again.get(place) or Drawn([], [f"figures of {section.name}: {said}"])


def _side_by_side(
    root: Path, sections: Mapping[int, Section], cells: "DataFrame", workers: int
) -> tuple[dict[int, Drawn], str]:
    """What processes have drawn of the sections, and what the last one said that ended early."""
    said = ""
    with tempfile.TemporaryDirectory(prefix="bench-figures-") as folder:
        started: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            for i in range(workers):
                task = Path(folder, f"task-{i}")
                mine = dict(list(sections.items())[i::workers])
                task.write_bytes(pickle.dumps((os.getpid(), list(loaded), root.resolve(), cells, mine)))
                with task.with_suffix(".log").open("wb") as log:
                    command = [sys.executable, "-c", CHILD, str(task), *sys.path]
                    process = subprocess.Popen(
                        command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                started.append((process, task.with_suffix(".log")))
            for process, log_file in started:
                if code := process.wait():
                    words = log_file.read_text(encoding="utf-8", errors="replace").split()
                    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                    said = f"the process that drew them {how}: {' '.join(words)[-LONGEST:]}".removesuffix(": ")
        finally:
            for process, _ in started:
                process.kill()
                process.wait()
        return {int(path.stem): pickle.loads(path.read_bytes()) for path in Path(folder).glob("*.drawn")}, said


def drawing(task: str) -> None:
    """Draw the sections of a task, as a process of its own."""
    parent, plugins, root, cells, sections = pickle.loads(Path(task).read_bytes())
    for plugin in plugins:
        load_plugin(plugin)
    for place, section in sections.items():
        if os.getppid() != parent:
            return  # nobody waits for it any more
        drawn = _drawn(root, cells, section)
        write_bytes(Path(task).with_name(f"{place}.drawn"), pickle.dumps(drawn))


def _drawn(root: Path, cells: "DataFrame", section: Section) -> Drawn:
    from matplotlib import rc_context

    from bench.report import style

    artefacts = Artefacts(root)
    pictures: list[Picture] = []
    complaints: list[str] = []
    with rc_context(style.theme()):  # type: ignore[arg-type]
        for drawn in draw(section, cells, artefacts, complaints):
            try:
                pictures.append(saved(root, drawn, section.stem))
            except Exception as error:  # hours of records are worth a report without one figure
                complaints.append(f"figure {drawn.name}: {one_line(error)}")
    complaints += [f"{name}: {reason}" for name, reason in sorted(artefacts.unreadable.items())]
    return Drawn(pictures, complaints)


def overview_pictures(root: Path, overviews: Sequence[Overview]) -> list[Picture]:
    """The figures of the overviews, saved."""
    from matplotlib import rc_context

    from bench.report import style

    pictures = []
    with rc_context(style.theme()):  # type: ignore[arg-type]
        for one in overviews:
            drawn = one.drawing()
            entitle(drawn.figure, drawn.title, one.title)
            name = safe_name("-".join(["overview", one.suite, one.protocol] if overviews[1:] else ["overview"]))
            pictures.append(saved(root, replace(drawn, name=name), OVERVIEW))
    return pictures


def saved(root: Path, drawn: Drawing, dataset: str) -> Picture:
    """The drawing as files under root/plots, and as a picture of the page."""
    png = palette(_saved(drawn.figure, "png", Software=None))
    write_bytes(root / "plots" / f"{drawn.name}.pdf", _saved(drawn.figure, "pdf", CreationDate=None))
    write_bytes(root / "plots" / f"{drawn.name}.png", png)
    return Picture(drawn.name, dataset, drawn.title, drawn.reading, png)


def _saved(figure: "Figure", suffix: str, **metadata: None) -> bytes:
    """The file of a figure, without what would tell one drawing of it from another."""
    from bench.report import style

    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=style.DPI, metadata=metadata)
    return buffer.getvalue()
