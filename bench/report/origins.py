"""Where the numbers of a page are from: runs, machines, versions, code, time, and what each variant was."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pandas import DataFrame, Series

from bench.config.names import safe_name
from bench.config.settings import STAGES
from bench.records.frame import MEASURED
from bench.report.extract import count, each, listed
from bench.report.grid import ABSENT, Entry
from bench.report.incidents import RUNNING
from bench.report.sections import Section
from bench.report.variants import settings

NAMED = 8  # datasets of a page's header by name, which are a line; of more their number
CLOCKS = {"train_seconds": "training", "likelihood_seconds": "likelihood", "sampling_seconds": "sampling"}


def unfinished(frame: DataFrame) -> str:
    """What a page says of a suite that is not done yet; "" of one whose runs are complete or have failed."""
    states = frame.groupby("run_id").status.agg(set)
    open_runs = sum(bool(state & {"missing", RUNNING}) and "failed" not in state for state in states)
    training = sum(RUNNING in state for state in states)
    if not open_runs:
        return ""
    curves = f"; {training} of them begun, whose curves are drawn as far as they are" if training else ""
    return f"{open_runs} of {count(len(states), 'run')} to be completed{curves}."


def facts(sections: Sequence[Section], frame: DataFrame) -> list[str]:
    states = frame.groupby("run_id").status.agg(set)
    complete = sum(state == {"ok"} for state in states)
    baselines = {name for section in sections for name in section.frame.baseline}
    names = dict.fromkeys(section.dataset for section in sections)
    data = count(len(names), "dataset") if len(names) > NAMED else listed(names) if names else "no data"
    seeds = max((section.seeds for section in sections), default=0)
    tuned = len({section.dataset for section in sections if section.is_tuned})
    where = "" if tuned == len(names) else f" on {tuned} of {count(len(names), 'dataset')}"
    return [
        f"{complete} of {count(len(states), 'run')} complete",
        f"{count(len(baselines), 'baseline')} on {data}",
        f"{count(seeds, 'seed')}" if all(s.seeds == seeds for s in sections) else f"up to {count(seeds, 'seed')}",
        *([f"settings tuned{where}"] if tuned else []),
    ]


def variants(section: Section, configs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was trained, a line a variant, by the names of the template; of each run how far it came, and its time."""
    found = []
    for name, label in section.labels.items():
        rows = section.frame[section.frame.variant == name]
        config = {key: value for key, value in configs.get(name, {}).items() if key != "seed"}
        seconds = sum(_clocks(rows).values())
        found.append(
            {
                "dataset": section.name,
                "version": section.version,
                "protocol": section.protocol,
                "baseline": rows.baseline.iloc[0],
                "label": label,
                "network": _entry(rows.network).text,
                "numbers": [_entry(rows[column]) for column in ("parameters", "steps", "global_batch")],
                "seeds": ", ".join(str(seed) for seed in sorted(set(rows.seed))),
                "seconds": seconds,
                "time": _duration(seconds),
                "name": name,
                "anchor": f"runs-{safe_name(name)}",
                "runs": [(run_id, _state(of_run), _time(of_run)) for run_id, of_run in rows.groupby("run_id")],
                "settings": [f"{key} = {value}" for key, value in settings(config)],
            }
        )
    return found


def provenance(frame: DataFrame) -> list[tuple[str, str]]:
    """Machine, software, code and time, as far as the records say."""
    runs = frame[frame.status.isin(MEASURED)].drop_duplicates("run_id")
    several = runs.device_count.fillna(1).map(lambda n: f"{n:.0f} x " if n > 1 else "").astype(str)
    software = [", ".join(f"{k} {v}" for k, v in json.loads(text).items()) for text in dict.fromkeys(runs.versions)]
    lines = {
        "Machine": "; ".join(_counted(several + runs.device)),
        "Software": "; ".join(software),
        "Commit": "; ".join(_counted(runs.commit)),
        "Time": _time(frame, listed),
    }
    return [(name, line) for name, line in lines.items() if line]


def _counted(values: "Series[str]") -> list[str]:
    return [f"{name} ({count(size, 'run')})" for name, size in Counter(values).items()]


def _clocks(rows: DataFrame) -> dict[str, float]:
    """Seconds by metric: what the finished measurements of CLOCKS sum to."""
    chosen = rows[(rows.status == "ok") & rows.metric.isin(CLOCKS) & rows.step.isna()]
    seconds = chosen.groupby("metric").value.sum()
    return {metric: float(seconds[metric]) for metric in CLOCKS if metric in seconds}


def _time(rows: DataFrame, join: Callable[[list[str]], str] = ", ".join) -> str:
    """ "training 2 min, sampling 3.0 s"."""
    spent = [f"{CLOCKS[metric]} {_duration(seconds)}" for metric, seconds in _clocks(rows).items()]
    return join(spent) if spent else ""


def _state(rows: DataFrame) -> str:
    """How far a run came: "complete", "failed in samples: underflow; not run: sweep"."""
    unfinished = sorted(each(rows[rows.status != "ok"]), key=lambda row: STAGES.index(row.stage))
    failed = [f"failed in {row.stage}: {row.error}" for row in unfinished if row.status == "failed"]
    training = [f"trained to {row.error} so far" for row in unfinished if row.status == RUNNING][:1]
    missing = [row.stage for row in unfinished if row.status == "missing"]
    return "; ".join([*failed, *training, *([f"not run: {listed(missing)}"] if missing else [])]) or "complete"


def _entry(values: "Series[Any]") -> Entry:
    known = values.dropna().unique()
    unique = [Entry(value) if isinstance(value, str) else Entry(value=float(value)) for value in known]
    return unique[0] if len(unique) == 1 else Entry(", ".join(entry.text for entry in unique) or ABSENT)


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
