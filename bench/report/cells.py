"""From the frame to the cells of the headline table: a mean over seeds with its interval, or a hole with its reason.

A row is a variant of a baseline and how it was sampled; a column is a metric and every setting that its value depends
on: n, split, extractor, batch, solver of the likelihood, divergence, dequantisation, K, and the device for a clock.
Whatever key a measurement quotes splits its column, so numbers of different settings cannot meet by oversight.
"""

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bench.papers.paper import REFERENCE, published_numbers
from bench.report import vocabulary
from bench.report.comparable import FLOOR, comparable
from bench.report.incidents import STALE, kinds, not_applicable, reasons
from bench.report.sections import KEYS, Section, each
from bench.report.statistics import t_interval

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FLOOR_SUFFIX = "_floor"
FLOOR_OF = {"nll_nats": "nll_floor"}  # of another metric it is <metric>_floor
FLOOR_ALONE = ("density", "floor_split")  # settings that say what a floor is, and are not its column's
ROW = ["baseline", "label", "variant", "sampler", "batch", "native"]
WORDS = {"failed": "failed", "missing": "not run", STALE: "stale"}


def headline(sections: Iterable[Section], published: "DataFrame | None" = None) -> "DataFrame":
    """One row a cell of the headline table of every section.

    Args:
        published: rows of `bench.papers.paper.published_numbers`, by default all.

    Returns:
        suite, protocol, dataset, dataset_version, setting, current, baseline, label, variant, sampler, native (whether
        it is a further sampler of the weights of another row), parameters, steps, stage, metric, settings (JSON), mean,
        half_width (NaN for one seed), n (seeds), planned (seeds), run_ids, lost (seeds whose value could not be had),
        lost_to ("diverged"), hole (why there is no mean, or why some are lost, else ""), word (that stands for it in
        a table), published (NaN if there is none), published_source. What the data itself scores (the NLL of the exact
        density, the distances of held-out images) is a row of its own with the baseline "floor".
    """
    import pandas

    published = published_numbers() if published is None else published
    # Beside the numbers of a smoke run a published one could only mislead.
    found = [_cells(s, published if s.protocol != "smoke" else published.iloc[:0]) for s in sections]
    return pandas.concat(found, ignore_index=True) if found else pandas.DataFrame(columns=COLUMNS)


def of_section(cells: "DataFrame", section: Section) -> "DataFrame":
    """The cells of one section."""
    return cells[(cells[KEYS] == list(section.identity)).all(axis=1)]


def _cells(section: Section, published: "DataFrame") -> "DataFrame":
    import pandas

    found = measured(section)
    columns = _columns(found[~not_applicable(found)])
    cells: list[dict[str, Any]] = []
    for row in _rows(section, found):
        of_variant = found[found.variant == row["variant"]]
        for stage, metric, settings in columns:
            if row["native"] and stage != "samples":
                continue
            of_metric = of_variant[of_variant.metric == metric]
            values = of_metric[(of_metric.comparable == settings) | not_applicable(of_metric)]
            if stage == "samples":
                values = values[values.sampler == row["sampler"]]
            reference = _published_for(published, section.dataset, row["baseline"], metric, settings)
            place = {"stage": stage, "metric": metric, "settings": settings, **reference}
            cells.append({**row, **place, **_statistics(section, row["variant"], stage, values)})
    frame = pandas.DataFrame([*_floors(section, found, columns, published), *cells], columns=COLUMNS)
    identity: dict[str, Any] = dict(zip(KEYS, section.identity, strict=True))
    return frame.assign(**identity)


COLUMNS = [
    *KEYS, *ROW, "parameters", "steps", "stage", "metric", "settings", "mean", "half_width", "n", "planned",
    "run_ids", "lost", "lost_to", "hole", "word", "published", "published_source",
]  # fmt: skip


def measured(section: Section) -> "DataFrame":
    """Finished measurements that have a column, with `comparable` (its settings) and `sampler` (its row)."""
    frame = section.frame
    shown = (frame.status == "ok") & frame.metric.map(lambda name: _is_floor(name) or bool(section.about(name).group))
    shown &= frame.stage.isin(["train", "likelihood", "samples"]) & frame.step.isna()
    shown &= (frame.metric != "peak_memory_bytes") | (frame.stage == "train")
    found = frame[shown]
    return found.assign(
        comparable=[comparable(row) for row in each(found)],
        sampler=[drawn_by(row.parsed) if row.stage == "samples" else "" for row in each(found)],
        batch=[_batch(row.parsed) if row.stage == "samples" else "" for row in each(found)],
        native=[_is_native(row) for row in each(found)],
    )


def _is_floor(metric: str) -> bool:
    return metric.endswith(FLOOR_SUFFIX)


def _is_native(row: Any) -> bool:
    """Whether a measurement is of samples that a method's own sampler drew."""
    return row.stage == "samples" and not _is_floor(row.metric) and not {"rtol", "steps"} & row.parsed.keys()


def drawn_by(settings: dict[str, Any]) -> str:
    """How samples were drawn: "dopri5 1e-5, batch 2,000" (its NFE depends on what is solved together), "ddim-50"."""
    return vocabulary.solver(settings) + _batch(settings)


def _batch(settings: dict[str, Any]) -> str:
    """What was solved together, as it ends the name of a sampler: ", batch 2,000"."""
    return "".join(f", {words}" for words in vocabulary.words({"batch": settings.get("batch")}))


def _columns(found: "DataFrame") -> list[tuple[str, str, str]]:
    unique = found[~found.metric.str.endswith(FLOOR_SUFFIX)][["stage", "metric", "comparable"]].drop_duplicates()
    return sorted(unique.itertuples(index=False, name=None), key=lambda c: (vocabulary.order(c[1]), c[2]))


def _rows(section: Section, found: "DataFrame") -> list[dict[str, Any]]:
    """The ODE row of every variant, one more for each further way its samples were drawn."""
    rows = []
    for variant, label in section.labels.items():
        runs = section.frame[section.frame.variant == variant]
        drawn = found[
            (found.variant == variant) & (found.stage == "samples") & ~found.metric.str.endswith(FLOOR_SUFFIX)
        ]
        # The model's own samplers in the order of its record, whose first is the headline row if there is no ODE.
        samplers = dict.fromkeys(zip(drawn.native, drawn.sampler, drawn.batch, strict=True))
        about = {
            "baseline": runs.baseline.iloc[0],
            "label": label,
            "variant": variant,
            "planned": runs.seed.nunique(),
            "parameters": runs.parameters.dropna().max(),
            "steps": runs.steps.dropna().max(),
        }
        # Training and likelihood belong to the weights, so they stand in the variant's first row alone.
        names = [names for _, *names in sorted(samplers, key=lambda row: row[0])] or [["", ""]]
        rows += [{**about, "sampler": name, "batch": of, "native": i > 0} for i, (name, of) in enumerate(names)]
    return rows


def _statistics(section: Section, variant: str, stage: str, values: "DataFrame") -> dict[str, Any]:
    without = values[values.value.isna()]
    by_run = values.drop(without.index).groupby("run_id").value.mean()
    without = without[~without.run_id.isin(by_run.index)]
    lost, why = without[~not_applicable(without)], list(dict.fromkeys(reasons(without)))
    found = {"run_ids": tuple(by_run.index), "lost": lost.run_id.nunique(), "lost_to": kinds(reasons(lost))}
    hole = "; ".join(why)
    if len(by_run):
        return {**t_interval(by_run)._asdict(), **found, "hole": hole, "word": ""}
    incidents = section.incidents_at(variant, stage) if not hole else []
    hole = hole or "; ".join(dict.fromkeys(incident.reason for incident in incidents)) or "not measured"
    word = next((WORDS[incident.status] for incident in incidents if incident.status in WORDS), "")
    return {"mean": math.nan, "half_width": math.nan, "n": 0, **found, "hole": hole, "word": found["lost_to"] or word}


def _floors(
    section: Section, found: "DataFrame", columns: list[tuple[str, str, str]], published: "DataFrame"
) -> list[dict[str, Any]]:
    """What the data scores under each column that was measured on as many samples and under the same settings."""
    rows = []
    label = "Floor (exact density)" if (found.metric == "nll_floor").any() else "Held-out images"
    for stage, metric, settings in columns:
        floors = found[found.metric == FLOOR_OF.get(metric, f"{metric}{FLOOR_SUFFIX}")]
        column = json.loads(settings)
        same = floors.loc[[_within(row, column) for row in each(floors)]]
        if len(same):
            row = dict.fromkeys(ROW, "") | {"baseline": FLOOR, "label": label, "native": False}
            place = {"stage": stage, "metric": metric, "settings": settings}
            by_run = same.groupby("run_id").value.mean()
            values: dict[str, Any] = {"mean": float(by_run.mean()), "half_width": math.nan, "n": len(by_run)}
            printed = _published_for(published, section.dataset, REFERENCE, metric, settings)
            values |= {"run_ids": tuple(by_run.index), "lost": 0, "lost_to": "", "hole": "", "word": ""}
            rows.append({**row, **place, **values, **printed})
    return rows


def _within(floor: Any, column: dict[str, Any]) -> bool:
    """Whether a floor's settings are those of a column, which may have more: weights, solver, batch."""
    settings = {key: value for key, value in json.loads(floor.comparable).items() if key not in FLOOR_ALONE}
    return all(column.get(key) == value for key, value in settings.items())


def _published_for(numbers: "DataFrame", dataset: str, baseline: str, metric: str, settings: str) -> dict[str, Any]:
    """The published value and where it comes from; of bits/dim that of the same K."""
    rows = numbers[numbers.beside & (numbers.dataset == dataset)]
    rows = rows[(rows.method == baseline) & (rows.metric == metric)]
    rows = rows[rows.draws.isna() | (rows.draws == json.loads(settings).get("draws"))]
    if rows.empty:
        return {"published": math.nan, "published_source": ""}
    row: Series[Any] = rows.iloc[0]
    detail = "; ".join(part for part in (row.settings, row.note) if part)
    return {
        "published": row.value,
        "published_source": f"{row.source} {row.table}" + f" ({detail})" * bool(detail),
    }
