"""The summary of each dataset, in seven columns: likelihood, quality, evaluations and cost of every method.

Each number is that of the headline row of its method, under the settings that the tables compare.
"""

import math
from collections.abc import Sequence

from bench.report.budget import COUNTED, spent
from bench.report.cells import Scores, floor_text
from bench.report.entries import marked
from bench.report.extract import each
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.remarks import bold, caption
from bench.report.sections import Section
from bench.report.statistics import Interval, t_interval
from bench.report.vocabulary import headed

COLUMNS = {  # what `Section.metric` takes, by the title of its column, "" for that of the metric
    "nll": "",
    "quality": "",
    "nfe_sampling": "NFE",
    "evaluations": "Evaluations [k]",
    "train_seconds": "Training [s]",
}
HOW = f"NFE: evaluations of the network per sample. Evaluations: those of the training, in thousands. {COUNTED}"


def summaries(sections: Sequence[Section]) -> list[Grid]:
    """A grid a section that has finished runs."""
    return [grid for section in sections if (grid := summary(section))]


def summary(section: Section) -> Grid | None:
    """Methods by COLUMNS; None without any number."""
    found: dict[str, tuple[Header, dict[str, Interval]]] = {}
    told = [caption(section), HOW, bold(section)]
    for name, title in COLUMNS.items():
        if name == "evaluations":
            if of := _evaluations(section):
                found[name] = Header(title, "lower"), of
        elif (metric := section.metric(name)) and (scores := section.scores(metric)):
            about = scores.about
            found[name] = Header(title or headed(about), about.direction), scores.values
            told += _floors(scores)
    if not found:
        return None
    seeds: dict[str, int] = {}
    for _, of in found.values():
        seeds |= {variant: max(interval.n, seeds.get(variant, 0)) for variant, interval in of.items()}
    baseline = {row.variant: row.baseline for row in each(section.frame.drop_duplicates("variant"))}
    rows = []
    for variant, label in section.labels.items():
        if variant in seeds:
            entries = tuple(_entry(of, variant, seeds[variant]) for _, of in found.values())
            rows.append(Row(baseline[variant], label, str(seeds[variant]), entries))
    title = f"{section.name}: summary {section.where}"
    headers = tuple(header for header, _ in found.values())
    lines = marked(rows, [header.better for header in headers])
    return Grid(
        title, "quality", headers, tuple(lines), tuple(told), ("Method", "Seeds"), (section.name,), section.protocol
    )


def _evaluations(section: Section) -> dict[str, Interval]:
    """Thousands of rows through the network in the whole training, by variant."""
    rows = spent(section)
    return {str(variant): t_interval(values / 1000) for variant, values in rows.evaluations.groupby(rows.variant)}


def _floors(scores: Scores) -> list[str]:
    if scores.floor is None or not math.isfinite(scores.floor):
        return []
    return [f"{scores.about.title}: {floor_text(scores.metric, scores.floor)}."]


def _entry(of: dict[str, Interval], variant: str, seeds: int) -> Entry:
    if variant not in of:
        return Entry(ABSENT)
    mean, half_width, n = of[variant]
    if n == seeds:
        return Entry("", mean, half_width)
    return Entry("", mean, half_width, n, tail=f"(n={n})" if n > 1 else "", title=f"{n} of {seeds} seeds")
