"""Where the numbers of a page are from: runs, machines, versions, code, time, and what each variant was."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.report import numbers
from bench.report.sections import Section, count, is_curve, listed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CLOCKS = {"train_seconds": "training", "likelihood_seconds": "likelihood", "sampling_seconds": "sampling"}


class Variant(NamedTuple):
    """What was trained, in the words of the page."""

    dataset: str
    version: str
    label: str
    network: str
    parameters: str
    steps: str
    batch: str
    seeds: str
    name: str


def facts(sections: Sequence[Section], frame: "DataFrame") -> list[str]:
    """The page in numbers: runs, baselines, data, seeds."""
    states = frame.groupby("run_id").status.agg(set)
    complete = sum(state == {"ok"} for state in states)
    baselines = {name for section in sections for name in section.frame.baseline}
    data = listed(dict.fromkeys(section.dataset for section in sections)) if sections else "no data"
    seeds = max((section.seeds for section in sections), default=0)
    return [
        f"{complete} of {count(len(states), 'run')} complete",
        f"{count(len(baselines), 'baseline')} on {data}",
        f"{count(seeds, 'seed')}" if all(s.seeds == seeds for s in sections) else f"up to {count(seeds, 'seed')}",
    ]


def variants(section: Section) -> list[Variant]:
    """One line a variant of the section."""
    found = []
    for name, label in section.labels.items():
        runs = section.frame[section.frame.variant == name]
        found.append(
            Variant(
                section.dataset,
                section.version,
                label,
                _said(runs.network),
                _said(runs.parameters),
                _said(runs.steps),
                _said(runs.global_batch),
                ", ".join(str(seed) for seed in sorted(set(runs.seed))),
                name,
            )
        )
    return found


def provenance(frame: "DataFrame") -> list[tuple[str, str]]:
    """Machine, software, code and time, as far as the records say."""
    good = frame[frame.status == "ok"]
    runs = good.drop_duplicates("run_id")
    several = runs.device_count.fillna(1).map(lambda n: f"{n:.0f} x " if n > 1 else "")
    machines = [f"{name} ({count(size, 'run')})" for name, size in Counter(several + runs.device).items()]
    commits = [f"{name} ({count(size, 'run')})" for name, size in Counter(runs.commit).items()]
    software = [", ".join(f"{k} {v}" for k, v in json.loads(text).items()) for text in dict.fromkeys(runs.versions)]
    scalar = good.loc[[not is_curve(json.loads(text)) for text in good.settings]]
    seconds = scalar[scalar.metric.isin(CLOCKS)].groupby("metric").value.sum()
    spent = [f"{words} {_duration(seconds[metric])}" for metric, words in CLOCKS.items() if metric in seconds]
    said = {"Machine": machines, "Software": software, "Commit": commits, "Time": [listed(spent)] if spent else []}
    return [(name, "; ".join(values)) for name, values in said.items() if values]


def _said(values: "Series") -> str:
    unique = dict.fromkeys(values.dropna())
    return ", ".join(v if isinstance(v, str) else numbers.plain(float(v)) for v in unique) or "–"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
