"""What a suite tuned, per dataset and method: every value that was tried with its score, the choice, and what it cost.

A score is the mean over the tuning seeds on the validation split at the end of training (bench/config/choice.py).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pandas import DataFrame

from bench.config.choice import Choice, Tried
from bench.report.axes import sign_of
from bench.report.extract import count, each, listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.sections import Section
from bench.report.variants import Config
from bench.report.vocabulary import headed

COLUMNS = [
    *("suite", "protocol", "dataset", "baseline", "label", "variant", "values", "metric", "unit", "direction"),
    *("score", "reason", "chosen", "edge", "trials", "tuning_seconds", "tuning_evaluations"),
]
BOLD = "Bold: chosen. Edge: the least or the largest value that was tried, so that a better one may lie beyond."
COST = "Cost: all trials of the method on this data, in training steps alone; evaluations as in the table of cost."
LEADING = ("Method", "Chosen")
LOST = "lost"
IN_WORDS = {"training.lr": "learning rate"}


def short(key: str) -> str:
    """The last part of a dotted key: "lr"."""
    return key.rpartition(".")[2]


def called(key: str) -> str:
    return IN_WORDS.get(key, short(key))


def said(values: Mapping[str, Any]) -> str:
    """ "0.01", or "lr = 0.01, width = 64" of several keys."""
    if len(values) == 1:
        return shown(*values.values())
    return ", ".join(f"{short(key)} = {shown(value)}" for key, value in values.items())


def shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def own_value(config: Config, key: str) -> Any:
    """What a configuration has at a dotted key of `tune`; None for what it leaves to a default."""
    head, _, name = key.partition(".")
    if head == "training":
        return config["training"].get(name)
    return (config["network" if head == "network" else "baseline"].get("options") or {}).get(name)


def grids(section: Section) -> list[Grid]:
    """A grid per metric that values were chosen by, of methods by values."""
    chosen = {variant: section.choices[variant] for variant in section.labels if variant in section.choices}
    metrics = dict.fromkeys(choice.metric for choice in chosen.values())
    return [_grid(section, metric, {v: c for v, c in chosen.items() if c.metric == metric}) for metric in metrics]


def tidy(sections: Iterable[Section]) -> DataFrame:
    """One row per value that was tried, with the columns COLUMNS; the cost is that of all trials of its method."""
    rows = []
    for section in sections:
        place, baselines = (section.suite, section.protocol, section.name), baselines_of(section)
        for variant, choice in section.choices.items():
            about = section.about(choice.metric)
            method = (baselines[variant], section.labels[variant], variant)
            cost = (choice.seconds, choice.evaluations * _batch(section, variant))
            for tried in choice.tried:
                chosen = tried.values == choice.to
                what = (json.dumps(tried.values), choice.metric, about.unit, about.direction)
                found = (tried.score, tried.reason, chosen, " ".join(choice.edge) * chosen, " ".join(tried.trials))
                rows.append((*place, *method, *what, *found, *cost))
    return DataFrame(rows, columns=COLUMNS)


def _grid(section: Section, metric: str, chosen: Mapping[str, Choice]) -> Grid:
    about, columns = section.about(metric), _columns(chosen.values())
    baselines, rows, lost = baselines_of(section), [], []
    for variant, choice in chosen.items():
        label, of_values = section.labels[variant], {said(tried.values): tried for tried in choice.tried}
        entries = [_entry(of_values.get(name), choice, about.divide) for name in columns]
        evaluations = choice.evaluations * _batch(section, variant) / 1000
        entries += [Entry(value=cost, form=",.0f" if cost >= 100 else ".3g") for cost in (choice.seconds, evaluations)]
        edge = ", edge" if choice.edge else ""
        rows.append(Row(baselines[variant], label, said(choice.to) + edge, tuple(entries)))
        lost += [f"{label} at {name} ({tried.reason})" for name, tried in of_values.items() if tried.score is None]
    keys = listed(dict.fromkeys(called(key) for choice in chosen.values() for key in choice.to))
    seeds = _seeds(chosen.values())
    better = "higher" if sign_of(about) < 0 else "lower"
    how = f"Columns: values of the {keys}, with {headed(about)} on validation, {better} is better, {seeds}."
    remarks = [how, BOLD, COST, *([f"Lost: {'; '.join(lost)}."] if lost else [])]
    headers = [*map(Header, columns), Header("Trials [s]"), Header("Trials [k evaluations]")]
    title, data = f"{section.name}: tuning by {about.title} {section.where}", (section.name,)
    return Grid(title, "quality", tuple(headers), tuple(rows), tuple(remarks), LEADING, data, section.protocol)


def _columns(choices: Iterable[Choice]) -> list[str]:
    """All that was tried by any method; of one key with numbers in their order."""
    values = {said(tried.values): tried.values for choice in choices for tried in choice.tried}
    single = [next(iter(of.values())) if len(of) == 1 else None for of in values.values()]
    if all(isinstance(value, int | float) for value in single):
        return sorted(values, key=lambda name: next(iter(values[name].values())))
    return list(values)


def _entry(tried: Tried | None, choice: Choice, divide: float) -> Entry:
    if tried is None:
        return Entry(ABSENT)
    if tried.score is None:
        return Entry(LOST, title=tried.reason)
    return Entry(value=tried.score / divide, best=tried.values == choice.to)


def _seeds(choices: Iterable[Choice]) -> str:
    most = max(len(tried.trials) for choice in choices for tried in choice.tried)
    return f"by {count(most, 'tuning seed')} that {'is' if most == 1 else 'are'} not reported"


def baselines_of(section: Section) -> dict[str, str]:
    """The baseline of each variant."""
    return {row.variant: row.baseline for row in each(section.frame.drop_duplicates("variant"))}


def _batch(section: Section, variant: str) -> float:
    """Rows of one evaluation of a batch."""
    return float(section.frame.global_batch[section.frame.variant == variant].max())
