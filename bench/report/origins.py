"""Where the numbers of a page are from: runs, machines, versions, code, time, and what each variant was."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.config.names import safe_name
from bench.config.settings import STAGES
from bench.report.grid import ABSENT, Entry
from bench.report.sections import Section, count, each, listed
from bench.report.variants import settings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CLOCKS = {"train_seconds": "training", "likelihood_seconds": "likelihood", "sampling_seconds": "sampling"}


class Run(NamedTuple):
    """One run of a variant: the name of its folder, how far it came, and where its seconds went."""

    run_id: str
    state: str
    time: str


class Variant(NamedTuple):
    """What was trained, in the words of the page; `settings` are "key = value" lines of its configuration."""

    dataset: str
    version: str
    protocol: str
    baseline: str
    label: str
    network: str
    parameters: Entry
    steps: Entry
    batch: Entry
    seeds: str
    seconds: float
    time: str
    name: str
    anchor: str
    runs: tuple[Run, ...]
    settings: tuple[str, ...]


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


def variants(section: Section, configs: Mapping[str, Mapping[str, Any]]) -> list[Variant]:
    """One line a variant of the section.

    Args:
        configs: the configuration of each variant, as a record's "config" has it.
    """
    found = []
    for name, label in section.labels.items():
        rows = section.frame[section.frame.variant == name]
        seconds = sum(_clocks(rows).values())
        config = {key: value for key, value in configs.get(name, {}).items() if key != "seed"}
        found.append(
            Variant(
                section.name,
                section.version,
                section.protocol,
                rows.baseline.iloc[0],
                label,
                _said(rows.network).text,
                _said(rows.parameters),
                _said(rows.steps),
                _said(rows.global_batch),
                ", ".join(str(seed) for seed in sorted(set(rows.seed))),
                seconds,
                _duration(seconds),
                name,
                anchor(name),
                tuple(_run(str(run_id), of_run) for run_id, of_run in rows.groupby("run_id")),
                tuple(f"{key} = {value}" for key, value in settings(config)),
            )
        )
    return found


def anchor(variant: str) -> str:
    """The id of a variant's runs on the page."""
    return f"runs-{safe_name(variant)}"


def provenance(frame: "DataFrame") -> list[tuple[str, str]]:
    """Machine, software, code and time, as far as the records say."""
    good = frame[frame.status == "ok"]
    runs = good.drop_duplicates("run_id")
    several = runs.device_count.fillna(1).map(lambda n: f"{n:.0f} x " if n > 1 else "")
    machines = [f"{name} ({count(size, 'run')})" for name, size in Counter(several + runs.device).items()]
    commits = [f"{name} ({count(size, 'run')})" for name, size in Counter(runs.commit).items()]
    software = [", ".join(f"{k} {v}" for k, v in json.loads(text).items()) for text in dict.fromkeys(runs.versions)]
    spent = [f"{CLOCKS[metric]} {_duration(seconds)}" for metric, seconds in _clocks(frame).items()]
    said = {"Machine": machines, "Software": software, "Commit": commits, "Time": [listed(spent)] if spent else []}
    return [(name, "; ".join(values)) for name, values in said.items() if values]


def _clocks(frame: "DataFrame") -> dict[str, float]:
    """Seconds by metric: what the finished measurements of CLOCKS sum to."""
    chosen = frame[(frame.status == "ok") & frame.metric.isin(CLOCKS)]
    scalar = chosen[chosen.step.isna()]
    seconds = scalar.groupby("metric").value.sum()
    return {metric: float(seconds[metric]) for metric in CLOCKS if metric in seconds}


def _run(run_id: str, rows: "DataFrame") -> Run:
    unfinished = sorted(each(rows[rows.status != "ok"]), key=lambda row: STAGES.index(row.stage))
    failed = [f"failed in {row.stage}: {row.error}" for row in unfinished if row.status == "failed"]
    missing = [row.stage for row in unfinished if row.status == "missing"]
    state = [*failed, *([f"not run: {listed(missing)}"] if missing else [])]
    spent = [f"{CLOCKS[metric]} {_duration(seconds)}" for metric, seconds in _clocks(rows).items()]
    return Run(run_id, "; ".join(state) or "complete", ", ".join(spent))


def _said(values: "Series") -> Entry:
    unique = [v if isinstance(v, str) else Entry(value=float(v)) for v in dict.fromkeys(values.dropna())]
    if len(unique) == 1 and isinstance(unique[0], Entry):
        return unique[0]
    return Entry(", ".join(v if isinstance(v, str) else v.text for v in unique) or ABSENT)


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
