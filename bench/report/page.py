"""One self-contained HTML file: overview, verdicts, tables, figures, each with how to read it, and where all is from.

The overview comes first. The page is whole without its script, which only adds to it: sorting, a filter whose state is
the address's fragment, and figures at full size. A page of more text than WHOLE would open slowly. Its tables and
figures by dataset, its evidence and its runs are in closed parts, whose content is text that a browser neither reads,
lays out nor decodes until the script opens the part.

A policy in its head lets a browser run that script and show the page's own pictures, and load nothing else, whatever
the records say.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.markers import MarkerStyle
from pandas import DataFrame

from bench.config.names import safe_name
from bench.metrics.metric import is_beside
from bench.papers.paper import cited
from bench.report import numbers, origins, vocabulary
from bench.report.decisions import WORDS
from bench.report.extract import each, listed
from bench.report.grid import ARROWS, Grid
from bench.report.intervals import intervals
from bench.report.pictures import OVERVIEW, PUBLISHED, Picture, embedded
from bench.report.sections import Section
from bench.report.style import Look, looks, ordered
from bench.report.tables import Table
from bench.report.verdicts import Verdict

TEMPLATES = Path(__file__).parent / "templates"
WHOLE = 1_300_000  # bytes of text
PLACE = "<!-- {} -->"  # of what is put in last; text of records cannot look like it, being escaped


def page(
    about: str,
    frame: DataFrame,
    tables: Sequence[Table],
    verdicts: Sequence[Verdict],
    paper: Sequence[Grid],
    pictures: Sequence[Picture],
    configs: Mapping[str, Mapping[str, Any]],
    complaints: Sequence[str],
    overview: Sequence[Grid] = (),
    reproduced: Sequence[str] = (),
) -> str:
    """The page as HTML; `about` is what the suite says of itself, `complaints` what could not be read or drawn.

    A grid of the overview that is about one dataset of several leads the tables of that dataset.
    """
    options: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    loader, strict = jinja2.FileSystemLoader(TEMPLATES), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, undefined=strict, **options)
    environment.filters.update(
        cited=cited, digits="{:.6g}".format, facets=_facets, probability=_p_value, safe_name=safe_name
    )
    sections = [table.section for table in tables]
    variants = [variant for section in sections for variant in origins.variants(section, configs)]
    of_run = {run_id: variant for variant in variants for run_id, _, _ in variant["runs"]}
    measured = {name: s.about(name) for s in sections for name in set(s.frame.metric[s.frame.status == "ok"])}
    shown = [name for name in measured if measured[name].group and not is_beside(name)]
    protocols = dict.fromkeys(section.protocol for section in sections)
    offers = _options(sections)
    css, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    of_dataset = {grid.data[0]: grid for grid in overview if len(grid.data) == 1 and len(sections) > 1}
    names: dict[str, Any] = dict(
        css=Markup(PLACE.format("css")),
        script=Markup(PLACE.format("script")),
        policy={"style": _hash(css), "script": _hash(script)},
        suite=listed(dict.fromkeys(section.suite for section in sections)) if sections else "without records",
        about=about,
        protocols={name: vocabulary.PROTOCOLS.get(name, "") for name in protocols},
        facts=origins.facts(sections, frame),
        unfinished=origins.unfinished(frame),
        options={name: offered for name, offered in offers.items() if len(offered) > 1},
        verdicts=verdicts,
        drawn=lambda v: zip(v.effects, map(Markup, intervals(v.effects, v.claim.limit)), strict=True),
        arrows=ARROWS,
        tables=[(t, of_dataset.get(t.section.name)) for t in tables],
        paper=paper,
        swatches={name: swatch for name, _, swatch in offers["baseline"]}
        | {s.labels[variant]: _swatch(look) for s in sections for variant, look in s.looks.items()},
        variants_of=lambda runs: list({of_run[run]["name"]: of_run[run] for run in runs if run in of_run}.values()),
        overview=[grid for grid in overview if len(grid.data) != 1 or not of_dataset],
        tally=[(word, n) for word in WORDS if (n := sum(verdict.word == word for verdict in verdicts))],
        reproduced=reproduced,
        overviews=[picture for picture in pictures if picture.dataset == OVERVIEW],
        printed=[picture for picture in pictures if picture.dataset == PUBLISHED],
        galleries=_galleries(
            sections, [picture for picture in pictures if picture.dataset not in (OVERVIEW, PUBLISHED)]
        ),
        images={picture.name: Markup(PLACE.format(i)) for i, picture in enumerate(pictures)},
        metrics=[measured[name] for name in sorted(shown, key=vocabulary.order)],
        variants=variants,
        shared=_shared([variant["settings"] for variant in variants if variant["settings"]]),
        provenance=origins.provenance(frame),
        complaints=complaints,
    )
    template = environment.get_template("report.html.j2")
    text = re.sub(r"\n\s+", "\n", template.render(**names, later=False))
    if len(text) > WHOLE:
        text = re.sub(r"\n\s+", "\n", template.render(**names, later=True))
    images = embedded(pictures, len(text.encode("utf-8", "replace")) + len(css) + len(script))
    filled = {str(i): images[picture.name] for i, picture in enumerate(pictures)} | {"css": css, "script": script}
    return re.sub(PLACE.format("(\\w+)"), lambda place: filled[place[1]], text)


def _facets(kind: str, **values: str | Sequence[str]) -> Markup:
    """The attributes by which the filter finds an element: its kind, and its dataset, protocol and baselines."""
    named = {name: [value] if isinstance(value, str) else list(value) for name, value in values.items() if value}
    text = json.dumps(named, separators=(",", ":"))
    return Markup("data-kind=\"{}\" data-facets='{}'").format(kind, text)


def _p_value(p: float) -> str:
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else numbers.plain(p, 2)


def _options(sections: Sequence[Section]) -> dict[str, list[tuple[str, str, str]]]:
    """What the filter offers: datasets, protocols and baselines of the page, each with its label and marker."""
    first = [row for section in reversed(sections) for row in each(section.frame.drop_duplicates("baseline"))]
    labels = {row.baseline: row.label for row in first}
    look = looks(labels)
    return {
        "dataset": [(name, name, "") for name in dict.fromkeys(section.name for section in sections)],
        "protocol": [(name, name, "") for name in dict.fromkeys(section.protocol for section in sections)],
        "baseline": [(name, labels[name], _swatch(look[name])) for name in ordered(labels)],
    }


def _shared(settings: Sequence[Sequence[str]]) -> list[str]:
    shared = set.intersection(*map(set, settings)) if len(settings) > 1 else set()
    return [line for line in settings[0] if line in shared] if shared else []


def _galleries(sections: Sequence[Section], pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Figures by what they are of, in their order, with what the filter knows of it; others are of the whole suite."""
    of = {section.stem: section for section in sections}
    galleries: dict[str, dict[str, Any]] = {}
    for picture in pictures:
        section = of.get(picture.dataset)
        facets = {"dataset": section.name, "protocol": section.protocol} if section else {}
        title = section.name if section else picture.dataset or "The whole suite"
        gallery = galleries.setdefault(picture.dataset, {"title": title, "facets": facets, "pictures": []})
        gallery["pictures"].append(picture)
    return list(galleries.values())


def _hash(text: str) -> str:
    """What a content security policy calls an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _swatch(look: Look) -> Markup:
    """The marker of a baseline as an inline drawing, in the colour that plots give it."""
    style = MarkerStyle(look.marker)
    outline: list[Any] = style.get_path().transformed(style.get_transform()).to_polygons()
    points = " ".join(f"{x:.2f},{-y:.2f}" for x, y in outline[0])
    shape = f'<polygon points="{points}" fill="{look.colour}"/>'
    return Markup(f'<svg class="swatch" viewBox="-0.75 -0.75 1.5 1.5" aria-hidden="true">{shape}</svg>')
