"""What every method has reached at equal seconds of training, by its validation curve.

At the seconds T, the fewest that any finished run was trained for, a run between its points (s_a, y_a) and (s_b, y_b)
is at

    y(T) = y_a + (y_b - y_a) log(T / s_a) / log(s_b / s_a),    s_a <= T <= s_b.

A run has no value if its first point lies beyond T or a neighbour of T was lost. Seconds that are the share of a stack,
or those of another machine than most methods', are compared with none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas
from pandas import DataFrame

from bench.report import numbers, vocabulary
from bench.report.comparable import machine
from bench.report.course import finished, qualities
from bench.report.crossings import value_at
from bench.report.entries import entry_of, marked
from bench.report.extract import KEYS, each, listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.remarks import bold, caption
from bench.report.sections import Section
from bench.report.statistics import t_interval

COLUMNS = [
    *KEYS, "seconds", "metric", "settings", "baseline", "label", "variant", "share", "mean", "half_width", "n", "lost",
    "hole", "run_ids",
]  # fmt: skip
BY_CURVE = ", by the validation curve, linear in log seconds"
LATER = "The rate of a longer training has not decayed by then: planned for so few seconds, it would end better."


@dataclass(frozen=True)
class AtEqualSeconds:
    """The rows of the runs at `seconds`, those of the fastest of `fastest`.

    `rows` has a row per metric and run with `share`, that of its training which was over, and `value`, NaN for a
    `reason`; `about` says by metric what the values are of.
    """

    section: Section
    seconds: float
    fastest: str
    rows: DataFrame
    about: dict[str, str]


def at_equal_seconds(section: Section) -> AtEqualSeconds | None:
    """None if fewer than two methods have a value of the same metric."""
    curves = {metric: rows for metric in qualities(section) if len(rows := finished(section, metric))}
    metrics = [*curves]
    if not curves:
        return None
    every = pandas.concat(curves.values())
    apart = _apart(section, every)
    last = every[~every.run_id.isin(apart)].groupby("run_id").seconds.max()
    if last.empty:
        return None
    seconds, fastest = float(last.min()), str(every.variant[every.run_id == last.idxmin()].iloc[0])
    rows = DataFrame([row for curve in curves.values() for row in _reached(curve, seconds, apart)])
    rows = rows.sort_values(["variant", "run_id"], kind="stable")
    had = rows[rows.value.notna()].groupby("metric").variant.nunique()
    shown = [metric for metric in metrics if had.get(metric, 0) > 1]
    if not shown:
        return None
    about = {metric: _settings(curves[metric]) for metric in shown}
    return AtEqualSeconds(section, seconds, section.labels[fastest], rows[rows.metric.isin(shown)], about)


def _apart(section: Section, curves: DataFrame) -> dict[str, str]:
    """The runs whose seconds are compared with none, and why."""
    clock = section.frame[section.frame.metric == "train_seconds"]
    stacked = clock.run_id[[bool(settings.get("stacked")) for settings in clock.parsed]]
    runs = curves.drop_duplicates("run_id")
    machines = {row.run_id: machine(row) for row in each(runs)}
    usual = runs.variant.groupby(runs.run_id.map(machines)).nunique().idxmax()
    apart = {run: f"another machine: trained on {of}" for run, of in machines.items() if of != usual}
    return apart | {run: "shared seconds: trained in a stack with other seeds" for run in stacked}


def _reached(curve: DataFrame, seconds: float, apart: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row per run of one metric's curve."""
    runs: defaultdict[str, list[Any]] = defaultdict(list)
    for point in each(curve.sort_values("seconds", kind="stable")):
        runs[point.run_id].append(point)
    for run_id, points in runs.items():
        first, last = points[0], points[-1]
        value = value_at([p.seconds for p in points], [p.value for p in points], seconds)
        lost = [p.reason or "not a number" for p in points if p.value != p.value]
        late = f"not yet validated: first after {numbers.plain(first.seconds, 3)} s"
        why = late if seconds < first.seconds else lost[0] if lost and value != value else None
        reason = apart.get(run_id) or why
        row = {"metric": first.metric, "variant": first.variant, "baseline": first.baseline, "run_id": run_id}
        share = float("nan") if run_id in apart else min(1.0, seconds / last.seconds)
        yield row | {"share": share, "value": float("nan") if reason else value, "reason": reason}


def _settings(curve: DataFrame) -> str:
    """ "n = 500, validation split"."""
    first = next(each(curve[curve.value.notna()]))
    n = {} if first.n != first.n else {"n": int(first.n)}
    return ", ".join(vocabulary.words(n | {"split": first.parsed.get("split")}))


def grid(found: AtEqualSeconds) -> Grid:
    """A row per method: the share of its training that was over, and its value of each metric."""
    section, rows = found.section, found.rows
    lines, told = list[Row](), dict[str, None]()
    for variant, label in section.labels.items():
        own = rows[rows.variant == variant]
        if own.empty:
            continue
        shares = own.drop_duplicates("run_id").share.dropna()
        entries = [Entry(value=100 * float(shares.mean()), form=".0f") if len(shares) else Entry(ABSENT)]
        entries += [entry_of(section, own[own.metric == metric], section.about(metric)) for metric in found.about]
        lines.append(Row(str(own.baseline.iloc[0]), label, str(own.run_id.nunique()), tuple(entries)))
        told |= dict.fromkeys(f"{label}: {reason}." for reason in own.reason.dropna().map(str))
    abouts = [section.about(metric) for metric in found.about]
    headers = [Header("Training over [%]")]
    headers += [Header(vocabulary.headed(a), a.direction) for a in abouts]
    time = numbers.plain(found.seconds, 3)
    quoted = [
        f"{listed(section.about(metric).title for metric in found.about if found.about[metric] == words)}: {words}."
        for words in dict.fromkeys(found.about.values())
    ]
    fastest = f"{time} s: the whole training of the fastest run, one of {found.fastest}."
    remarks = [caption(section, BY_CURVE), fastest, LATER, bold(section)]
    title = f"{section.name}: quality after equal seconds of training, {time} s {section.where}"
    lines = marked(lines, ["", *(about.direction for about in abouts)])
    return Grid(title, "quality", tuple(headers), tuple(lines), (*remarks, *quoted, *told), ("Method", "Seeds"))


def tidy(sections: Iterable[Section]) -> DataFrame:
    """A row per method and metric of every section, with COLUMNS; `settings` is what its values are of."""
    made: list[dict[str, Any]] = []
    for section in sections:
        if not (found := at_equal_seconds(section)):
            continue
        identity = dict(zip(KEYS, section.identity, strict=True)) | {"seconds": found.seconds}
        for (metric, variant), rows in found.rows.groupby(["metric", "variant"], sort=False):
            had = rows[rows.value.notna()]
            place = {"metric": metric, "settings": found.about[str(metric)], "variant": variant}
            place |= {"label": section.labels[str(variant)], "baseline": rows.baseline.iloc[0]}
            known = t_interval(had.value)._asdict() if len(had) else {"n": 0}
            hole = "; ".join(dict.fromkeys(rows.reason.dropna()))
            counts = {"share": rows.share.mean(), "lost": len(rows) - len(had), "hole": hole}
            made.append(identity | place | known | counts | {"run_ids": tuple(had.run_id)})
    return DataFrame(made, columns=COLUMNS)
