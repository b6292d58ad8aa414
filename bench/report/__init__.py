"""Reports: everything that is written about records is a pure function of their tidy frame and the arrays beside them.

    records.csv         the frame, one row a measurement
    table.{md,tex,csv}  the headline table
    plots/*.{png,pdf}   the figures
    report.html         all of it on one self-contained page

Nothing here imports a trainer, a network or a baseline.
"""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from bench.report.artefacts import Artefacts
    from bench.report.page import Picture
    from bench.report.sections import Section


def build(root: Path) -> list[Path]:
    """Write the report on the records under `root` into `root`; returns the files, report.html first.

    Every file is whole or as it was before. What cannot be read or drawn is named on the page.
    """
    from bench import records
    from bench.report.artefacts import Artefacts
    from bench.report.cells import headline
    from bench.report.latex import latex
    from bench.report.markdown import markdown
    from bench.report.page import page
    from bench.report.sections import each, sections, strays
    from bench.report.tables import table

    frame = records.frame(root)
    cells = headline(frame)
    parts = sections(frame)
    tables = [table(part, cells) for part in parts]
    artefacts = Artefacts(root)
    complaints = [f"{row.run_id}: {row.error}" for row in each(strays(frame))]
    pictures, files = _figures(parts, cells, artefacts, root / "plots", complaints)
    complaints += [f"{name}: {reason}" for name, reason in sorted(artefacts.unreadable.items())]
    texts = {
        "report.html": page(_about(root), frame, tables, [], [], pictures, {}, complaints),
        "table.md": markdown(tables),
        "table.tex": latex(tables),
        "table.csv": cells.to_csv(index=False),
        "records.csv": frame.to_csv(index=False),
    }
    for name, text in texts.items():
        _save(root / name, text.encode())
    return [*(root / name for name in texts), *files]


def _figures(
    parts: "list[Section]", cells: "DataFrame", artefacts: "Artefacts", folder: Path, complaints: list[str]
) -> "tuple[list[Picture], list[Path]]":
    """Draw and save every figure as PNG and PDF."""
    from matplotlib import rc_context

    from bench.report import style
    from bench.report.page import Picture
    from bench.report.plots import draw

    pictures, files = [], []
    with rc_context(style.theme()):  # type: ignore[arg-type]
        for part in parts:
            for drawing in draw(part, cells, artefacts, complaints):
                for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
                    buffer = io.BytesIO()
                    drawing.figure.savefig(buffer, format=suffix, dpi=style.DPI, metadata=metadata)
                    files.append(folder / f"{drawing.name}.{suffix}")
                    _save(files[-1], buffer.getvalue())
                pictures.append(Picture(drawing.name, part.stem, drawing.statement, drawing.reading, buffer.getvalue()))
    return pictures, files


def _save(path: Path, data: bytes) -> None:
    from bench.files import write_atomic

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(path, write)


def _about(root: Path) -> str:
    try:
        return str(json.loads((root / "plan.json").read_text(encoding="utf-8"))["about"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
