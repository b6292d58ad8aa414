"""Every figure of every section drawn and saved as PNG and PDF, side by side in processes of their own.

Figures are most of a report's time and share nothing but the frame. None of joblib's processes is forked, as a fork of
a process with threads may hang. If one of them is lost, what has not come is drawn once more, its first by itself.
"""

import io
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from matplotlib.figure import Figure

from bench.config.names import safe_name
from bench.config.registry import load_plugin, loaded
from bench.errors import UsageError, one_line
from bench.launch.surroundings import applied
from bench.records.files import write_bytes
from bench.report.artefacts import Artefacts
from bench.report.canvas import DPI, entitle, themed
from bench.report.figure import Drawing, draw, in_order
from bench.report.pictures import Picture, palette
from bench.report.sections import Section

WORTH = 16  # figures that a process must be asked for, to be worth its start; a section has few of all that are known


class Drawn(NamedTuple):
    """The pictures of a section, and what could not be read or drawn, a sentence each."""

    pictures: list[Picture]
    complaints: list[str]


class Part(NamedTuple):
    """What came of one registered figure of a section: pictures, what failed, and unreadable files with reasons."""

    pictures: list[Picture]
    complaints: list[str]
    unreadable: dict[str, str]


class Task(NamedTuple):
    """A registered figure of a section that lies in a file, written once for all of its figures."""

    file: Path
    section: str
    figure: str


def figures(root: Path, sections: Sequence[Section]) -> Iterator[Drawn]:
    """The figures of each section, saved under root/plots, in the order of the sections."""
    try:
        names = [one.name for one in in_order()]
    except Exception as error:
        yield from (_lost(section, error) for section in sections)
        return
    workers = min(len(sections) * len(names) // WORTH, os.cpu_count() or 1)
    if workers < 2:
        for section in sections:
            artefacts = Artefacts(root)
            yield _joined([_part(section, artefacts, name) for name in names])
        return
    with TemporaryDirectory() as folder:
        tasks: dict[int, list[Task]] = {}
        unwritten: dict[int, Drawn] = {}
        for i, section in enumerate(sections):
            try:
                file = Path(folder) / str(i)
                file.write_bytes(pickle.dumps((list(loaded), root.resolve(), section)))
                tasks[i] = [Task(file, section.name, name) for name in names]
            except Exception as error:
                unwritten[i] = _lost(section, error)
        parts = _each([task for of_section in tasks.values() for task in of_section], workers)
        for i in range(len(sections)):
            yield unwritten.get(i) or _joined(list(islice(parts, len(names))))


def _lost(section: Section, error: Exception) -> Drawn:
    return Drawn([], [f"figures of {section.name}: {one_line(error)}"])


def _joined(parts: Sequence[Part]) -> Drawn:
    """The figures of a section together; what befell several of them for one reason is said once."""
    unreadable = {name: reason for part in parts for name, reason in part.unreadable.items()}
    complaints = dict.fromkeys(complaint for part in parts for complaint in part.complaints)
    told = [f"{name}: {reason}" for name, reason in sorted(unreadable.items())]
    return Drawn([picture for part in parts for picture in part.pictures], [*complaints, *told])


def _each(tasks: Sequence[Task], workers: int) -> Iterator[Part]:
    """What processes draw, in the order of the tasks; after a loss the first that has not come is drawn by itself."""
    done = 0
    while done < len(tasks):
        found, _ = _side_by_side(tasks[done:], workers)
        yield from found
        done += len(found)
        if done < len(tasks):
            task = tasks[done]
            alone, why = _side_by_side([task], 2)
            yield from alone or [Part([], [f"figure {task.figure} of {task.section}: {why}"], {})]
            done += 1


def _side_by_side(tasks: Sequence[Task], workers: int) -> tuple[list[Part], str]:
    """What processes have drawn of the tasks, in their order, until one of them was lost, if any was, and why."""
    found: list[Part] = []
    try:
        with applied():  # a process finds the project as this one does, however that was started
            parallel = Parallel(workers, return_as="generator", max_nbytes=None, batch_size=1)
            for part in parallel(delayed(_task)(task) for task in tasks):
                found.append(part)
    except TerminatedWorkerError:
        return found, "the process that drew it was killed"
    except Exception as error:  # hours of records are worth a report without figures
        return found, one_line(error)
    finally:
        get_reusable_executor().shutdown()  # of processes that would wait for more to do
    return found, ""


def _task(task: Task) -> Part:
    try:
        return _part(*_opened(task.file), task.figure)
    except Exception as error:
        return Part([], [f"figure {task.figure} of {task.section}: {one_line(error)}"], {})


@lru_cache(maxsize=1)
def _opened(file: Path) -> tuple[Section, Artefacts]:
    """The section of a file; a process holds one at a time."""
    plugins, root, section = pickle.loads(file.read_bytes())
    artefacts = Artefacts(root)
    for plugin in plugins:
        try:
            load_plugin(plugin)
        except UsageError as error:  # it may have been edited since, and costs its own figures alone
            artefacts.unreadable[plugin] = one_line(error)
    return section, artefacts


def _part(section: Section, artefacts: Artefacts, name: str) -> Part:
    pictures: list[Picture] = []
    complaints: list[str] = []
    with themed():
        for drawn in draw(section, artefacts, complaints, name):
            try:
                pictures.append(_saved(artefacts.root, drawn, section.stem))
            except Exception as error:  # hours of records are worth a report without one figure
                complaints.append(f"figure {drawn.name}: {one_line(error)}")
    return Part(pictures, complaints, dict(artefacts.unreadable))


def suite_pictures(root: Path, drawings: Iterable[Drawing], dataset: str) -> list[Picture]:
    """Figures of all data at once, drawn as they are asked for; their `note` is the line below their titles."""
    pictures = []
    with themed():
        for drawn in drawings:
            entitle(drawn.figure, drawn.title, drawn.note)
            pictures.append(_saved(root, replace(drawn, name=safe_name(drawn.name)), dataset))
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
