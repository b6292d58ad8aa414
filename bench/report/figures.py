"""Every figure of every section drawn and saved as PNG and PDF, sections side by side in processes of their own.

Figures are most of a report's time and share nothing but the frame.
"""

import io
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.files import write_bytes
from bench.report.artefacts import Artefacts
from bench.report.pictures import Picture, palette
from bench.report.sections import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class Drawn(NamedTuple):
    """The pictures of a section, and what could not be read or drawn, a sentence each."""

    pictures: list[Picture]
    complaints: list[str]


def figures(root: Path, sections: Sequence[Section], cells: "DataFrame") -> Iterator[Drawn]:
    """The figures of each section, saved under root/plots, in the order of the sections."""
    draw = partial(_drawn, root, cells)
    workers = min(len(sections), os.cpu_count() or 1)
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(draw, sections)
        return
    # A forked worker has the frame and the plotting libraries already.
    import seaborn  # noqa: F401

    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(draw, sections)


def _drawn(root: Path, cells: "DataFrame", section: Section) -> Drawn:
    from matplotlib import rc_context

    from bench.report import style
    from bench.report.plots import draw

    artefacts = Artefacts(root)
    pictures: list[Picture] = []
    complaints: list[str] = []
    with rc_context(style.theme()):  # type: ignore[arg-type]
        for drawing in draw(section, cells, artefacts, complaints):
            png = palette(_saved(drawing.figure, "png", Software=None))
            write_bytes(root / "plots" / f"{drawing.name}.pdf", _saved(drawing.figure, "pdf", CreationDate=None))
            write_bytes(root / "plots" / f"{drawing.name}.png", png)
            pictures.append(Picture(drawing.name, section.stem, drawing.statement, drawing.reading, png))
    complaints += [f"{name}: {reason}" for name, reason in sorted(artefacts.unreadable.items())]
    return Drawn(pictures, complaints)


def _saved(figure: "Figure", suffix: str, **metadata: None) -> bytes:
    """The file of a figure, without what would tell one drawing of it from another."""
    from bench.report import style

    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=style.DPI, metadata=metadata)
    return buffer.getvalue()
