"""One self-contained HTML file: overview, verdicts, tables, figures, each with how to read it, and where all is from.

The page is whole without its script, which only adds to it: sorting, a filter whose state is the address's fragment,
and figures at full size. A policy in its head lets a browser run that script and show the page's own pictures, and
load nothing else, whatever the records say.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.config.names import safe_name
from bench.report import numbers, origins, vocabulary
from bench.report.cells import FLOOR_SUFFIX
from bench.report.grid import ARROWS, Grid
from bench.report.intervals import intervals
from bench.report.pictures import OVERVIEW, Picture, embedded
from bench.report.sections import Section, each, listed
from bench.report.style import Look, looks, ordered
from bench.report.tables import Table
from bench.report.verdicts import Verdict

if TYPE_CHECKING:
    from markupsafe import Markup
    from pandas import DataFrame

TEMPLATES = Path(__file__).parent / "templates"
PLACE = "<!-- {} -->"  # of what is put in last; text of records cannot look like it, being escaped


class Gallery(NamedTuple):
    """The figures of one dataset, under the name, data and protocol that the filter knows."""

    title: str
    facets: dict[str, list[str]]
    pictures: list[Picture]


class Option(NamedTuple):
    """One value that the filter offers, with what it is called and its marker."""

    value: str
    label: str
    swatch: "Markup | str" = ""


def page(
    about: str,
    frame: "DataFrame",
    tables: Sequence[Table],
    verdicts: Sequence[Verdict],
    paper: Sequence[Grid],
    pictures: Sequence[Picture],
    configs: Mapping[str, Mapping[str, Any]],
    complaints: Sequence[str],
    overview: Sequence[Grid] = (),
) -> str:
    """The page as HTML.

    Args:
        about: what the suite says of itself.
        paper: published tables, beside those of the suite.
        configs: the configuration of each variant, as a record's "config" has it.
        complaints: what could not be read or drawn, a sentence each.
        overview: what the page opens with, beside its pictures.
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
    environment.filters.update(digits="{:.6g}".format, facets=_facets, probability=_probability, safe_name=safe_name)
    sections = [table.section for table in tables]
    variants = [variant for section in sections for variant in origins.variants(section, configs)]
    of_run = {run.run_id: variant for variant in variants for run in variant.runs}
    measured = {name: s.about(name) for s in sections for name in set(s.frame.metric[s.frame.status == "ok"])}
    shown = [name for name in measured if measured[name].group and not name.endswith(FLOOR_SUFFIX)]
    protocols = dict.fromkeys(section.protocol for section in sections)
    options = _options(sections)
    css, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    text = environment.get_template("report.html.j2").render(
        css=Markup(PLACE.format("css")),
        script=Markup(PLACE.format("script")),
        policy={"style": _hash(css), "script": _hash(script)},
        suite=listed(dict.fromkeys(section.suite for section in sections)) if sections else "without records",
        about=about,
        protocols={name: vocabulary.PROTOCOLS.get(name, "") for name in protocols},
        facts=origins.facts(sections, frame),
        options={name: offered for name, offered in options.items() if len(offered) > 1},
        verdicts=verdicts,
        drawn=lambda v: zip(v.effects, map(Markup, intervals(v.effects, v.claim.limit)), strict=True),
        arrows=ARROWS,
        tables=list(zip(tables, map(_swatches, sections), strict=True)),
        paper=paper,
        published={option.label: option.swatch for option in options["baseline"]},
        variants_of=lambda runs: list(dict.fromkeys(of_run[run] for run in runs if run in of_run)),
        overview=overview,
        overviews=[picture for picture in pictures if picture.dataset == OVERVIEW],
        galleries=_galleries(sections, [picture for picture in pictures if picture.dataset != OVERVIEW]),
        images={picture.name: Markup(PLACE.format(i)) for i, picture in enumerate(pictures)},
        metrics=[measured[name] for name in sorted(shown, key=vocabulary.order)],
        variants=variants,
        shared=_shared(variants),
        provenance=origins.provenance(frame),
        complaints=complaints,
    )
    text = re.sub(r"\n\s+", "\n", text)
    images = embedded(pictures, len(text.encode("utf-8", "replace")) + len(css) + len(script))
    filled = {str(i): images[picture.name] for i, picture in enumerate(pictures)} | {"css": css, "script": script}
    return re.sub(PLACE.format("(\\w+)"), lambda place: filled[place[1]], text)


def _facets(kind: str, **values: str | Sequence[str]) -> "Markup":
    """The attributes by which the filter finds an element: its kind, and its dataset, protocol and baselines."""
    from markupsafe import Markup

    said = {name: [given] if isinstance(given, str) else list(given) for name, given in values.items() if given}
    text = json.dumps(said, separators=(",", ":"))
    for character, entity in (("&", "&amp;"), ("'", "&#39;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return Markup('data-kind="{}" ').format(kind) + Markup(f"data-facets='{text}'")


def _probability(p: float) -> str:
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else numbers.plain(p, 2)


def _options(sections: Sequence[Section]) -> dict[str, list[Option]]:
    """What the filter offers: the datasets, protocols and baselines of the page, baselines with their markers."""
    labels: dict[str, str] = {}
    for section in sections:
        for row in each(section.frame.drop_duplicates("baseline")):
            labels.setdefault(row.baseline, row.label)
    look = looks(labels)
    return {
        "dataset": [Option(name, name) for name in dict.fromkeys(section.name for section in sections)],
        "protocol": [Option(name, name) for name in dict.fromkeys(section.protocol for section in sections)],
        "baseline": [Option(name, labels[name], _swatch(look[name])) for name in ordered(labels)],
    }


def _shared(variants: Sequence[origins.Variant]) -> tuple[str, ...]:
    """The settings that all of several variants have."""
    told = [variant.settings for variant in variants if variant.settings]
    everywhere = set.intersection(*map(set, told)) if len(told) > 1 else set()
    return tuple(line for line in told[0] if line in everywhere) if everywhere else ()


def _galleries(sections: Sequence[Section], pictures: Sequence[Picture]) -> list[Gallery]:
    """Figures by what they are of, in their order; those of no section belong to the whole suite."""
    of = {section.stem: section for section in sections}
    found: dict[str, Gallery] = {}
    for picture in pictures:
        section = of.get(picture.dataset)
        facets = {"dataset": [section.name], "protocol": [section.protocol]} if section else {}
        gallery = Gallery(section.name if section else picture.dataset or "The whole suite", facets, [])
        found.setdefault(picture.dataset, gallery).pictures.append(picture)
    return list(found.values())


def _hash(text: str) -> str:
    """What a content security policy calls an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _swatches(section: Section) -> dict[str, "Markup"]:
    """The marker of each label as an inline drawing, in the colour that plots give it."""
    return {section.labels[variant]: _swatch(look) for variant, look in section.looks.items()}


def _swatch(look: Look) -> "Markup":
    from markupsafe import Markup
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(look.marker)
    outline: list[Any] = style.get_path().transformed(style.get_transform()).to_polygons()
    points = " ".join(f"{x:.2f},{-y:.2f}" for x, y in outline[0])
    shape = f'<polygon points="{points}" fill="{look.colour}"/>'
    return Markup(f'<svg class="swatch" viewBox="-0.75 -0.75 1.5 1.5" aria-hidden="true">{shape}</svg>')
