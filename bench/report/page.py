"""One self-contained HTML file: tables, figures with a sentence on how to read them, and where the numbers are from."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.report import origins, vocabulary
from bench.report.sections import Section, listed
from bench.report.style import Look
from bench.report.tables import Table

if TYPE_CHECKING:
    from pandas import DataFrame

TEMPLATES = Path(__file__).parent / "templates"
BUDGET = 4_200_000  # bytes of pictures on a page; written as text they take a third more


class Picture(NamedTuple):
    """A saved drawing: its file's name, its dataset, what it states, how to read it, and its PNG file's bytes."""

    name: str
    dataset: str
    statement: str
    reading: str
    png: bytes


def page(
    about: str, frame: "DataFrame", tables: Sequence[Table], pictures: Sequence[Picture], complaints: Sequence[str]
) -> str:
    """The page as HTML.

    Args:
        about: what the suite says of itself.
        complaints: what could not be read or drawn, a sentence each.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    sections = [table.section for table in tables]
    protocols = dict.fromkeys(section.protocol for section in sections)
    names = {name for name in frame.metric[frame.status == "ok"] if vocabulary.is_headline(name)}
    by_dataset: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_dataset.setdefault(picture.dataset, []).append(picture)
    return environment.get_template("report.html.j2").render(
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        suite=listed(dict.fromkeys(section.suite for section in sections)) if sections else "without records",
        about=about,
        protocols={name: vocabulary.PROTOCOLS.get(name, "") for name in protocols},
        facts=origins.facts(sections, frame),
        tables=tables,
        swatches=[{row: Markup(svg) for row, svg in _swatches(section).items()} for section in sections],
        pictures=by_dataset,
        images=dict(zip([p.name for p in pictures], _encoded([p.png for p in pictures]), strict=True)),
        metrics=[vocabulary.metric(name) for name in sorted(names, key=vocabulary.order)],
        variants=[variant for section in sections for variant in origins.variants(section)],
        provenance=origins.provenance(frame),
        complaints=complaints,
    )


def _encoded(pngs: Sequence[bytes]) -> list[str]:
    """Pictures as data URIs: lossless WebP, half the size of PNG; lossy and smaller only to meet BUDGET."""
    from PIL import Image

    def packed(scale: float, **options: Any) -> list[bytes]:
        packages = []
        for png in pngs:
            image = Image.open(io.BytesIO(png)).convert("RGB")
            if scale < 1:
                size = round(image.width * scale), round(image.height * scale)
                image = image.resize(size, Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", **options)
            packages.append(buffer.getvalue())
        return packages

    packages = packed(1.0, lossless=True, quality=30, method=2)
    total = sum(map(len, packages))
    if total > BUDGET:  # the lossy size of such figures falls with scale^1.4
        packages = packed((BUDGET / total) ** 0.7, quality=80)
    return [f"data:image/webp;base64,{base64.b64encode(package).decode()}" for package in packages]


def _swatches(section: Section) -> dict[str, str]:
    """The marker of each label as an inline drawing, in the colour that plots give it."""
    return {section.labels[variant]: _swatch(look) for variant, look in section.looks.items()}


def _swatch(look: Look) -> str:
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(look.marker)
    outline: list[Any] = style.get_path().transformed(style.get_transform()).to_polygons()
    points = " ".join(f"{x:.2f},{-y:.2f}" for x, y in outline[0])
    shape = f'<polygon points="{points}" fill="{look.colour}"/>'
    return f'<svg class="swatch" viewBox="-0.75 -0.75 1.5 1.5" aria-hidden="true">{shape}</svg>'
