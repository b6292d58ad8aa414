"""Which of the values that were tried is the best: that of the best mean of its trials over the tuning seeds.

    score(v) = 1/S sum_s m(v, s),    m the measure of a trial at the end of its training, on the validation split

One of whose trials any failed or has no value of the measure loses. Of equal ones the first is taken.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.config.settings import Frozen
from bench.config.tune import Tune, Values
from bench.errors import UsageError, is_lost

# Numbers that are chosen by, the first that all trials could have: by the beginning of the name, and by their group.
PREFERRED = ("nll_defensive", "nll")
GROUPS = ("likelihood", "quality")
Record = Mapping[str, Any]


class Tried(Frozen):
    """One combination of values, the runs that tried it, its score, and why it has none."""

    values: Values
    trials: tuple[str, ...]
    score: float | None = None
    reason: str = ""


class Choice(Frozen):
    """The values that are chosen, and all that were tried.

    `metric` is the number that they are chosen by; `edge` are the keys whose choice is the least or the largest value
    that was tried, so that a better one may lie beyond. `seconds` and `evaluations` are those of all trials that ended,
    of the steps of their training alone, and `stacked` whether any shared its time with others.
    """

    to: Values
    metric: str
    tried: tuple[Tried, ...]
    edge: tuple[str, ...]
    seconds: float
    evaluations: float
    stacked: bool = False

    def __str__(self) -> str:
        best = next(tried for tried in self.tried if tried.values == self.to)
        said = [f"tuned to {_said(self.to)}: {self.metric} {best.score:.6g} on validation, of {len(self.tried)} tried"]
        lost = [f"{_said(tried.values)} lost ({tried.reason})" for tried in self.tried if tried.score is None]
        edges = [f"{key} = {self.to[key]} is at the edge of what was tried" for key in self.edge]
        return "; ".join([*said, *lost, *edges])


def choose(tune: Tune, trials: Mapping[str, Values], records: Mapping[str, Record]) -> Choice:
    """The best of the values that trials tried, by id, by the records of their trainings.

    UsageError if none of them has the measure.
    """
    rows = {run_id: _last_point(records[run_id]) for run_id in trials}
    metric = tune.metric or _usual(rows.values())
    found = []
    for values in tune.combinations():
        ids = tuple(run_id for run_id, tries in trials.items() if tries == values)
        found.append(_tried(values, ids, [_score(records[i], rows[i], metric) for i in ids]))
    sound = [tried for tried in found if tried.score is not None]
    if not sound:
        why = next((tried.reason for tried in found), "")
        raise UsageError(f"tune: none of the {len(trials)} trials can be chosen: {_said(found[0].values)}: {why}")
    number, sign = _number(rows.values(), metric)
    best = min(sound, key=lambda tried: sign * (tried.score or 0.0))
    spent = [row for record in records.values() for row in _rows(record) if "step" not in row.get("place", {})]
    return Choice(
        to=best.values,
        metric=number,
        tried=tuple(found),
        edge=tuple(key for key, values in tune.lists.items() if _is_edge(best.values[key], values)),
        seconds=_total(spent, "train_seconds"),
        evaluations=_total(spent, "nfe_training"),
        stacked=any(row["settings"].get("stacked") for row in spent),
    )


def _rows(record: Record) -> list[dict[str, Any]]:
    """The measurements of a record; one that is not sound has none."""
    found: list[dict[str, Any]] = record.get("measurements") or []
    return found


def _last_point(record: Record) -> dict[str, Record]:
    """By name the first rows of the last point of the curve that a choice can be made by."""
    points = [row for row in _rows(record) if "step" in row.get("place", {})]
    last = max((row["place"]["step"] for row in points), default=0)
    found: dict[str, Record] = {}
    for row in points:
        if row["place"]["step"] == last and row["direction"] and row["group"] in GROUPS:
            found.setdefault(row["metric"], row)
    return found


def _usual(trials: Iterable[Mapping[str, Record]]) -> str:
    """The number that is chosen by if the suite names none; "" if no trial has any."""
    rows: dict[str, Record] = {}
    for of_trial in trials:
        for name, row in of_trial.items():
            if not row.get("reason") or is_lost(row["reason"]):
                rows.setdefault(name, row)

    def rank(name: str) -> tuple[int, int]:
        preferred = next((i for i, kind in enumerate(PREFERRED) if name.startswith(kind)), len(PREFERRED))
        return GROUPS.index(rows[name]["group"]), preferred

    return min(rows, key=rank, default="")


def numbers(metric: str) -> tuple[str, ...]:
    """Names that a metric to choose by may have in a record: "nll" may stand for "nll_nats" or "nll_bpd"."""
    return metric, f"{metric}_nats", f"{metric}_bpd"


def _of(rows: Mapping[str, Record], metric: str) -> Record | None:
    return next((rows[name] for name in numbers(metric) if name in rows), None)


def _number(trials: Iterable[Mapping[str, Record]], metric: str) -> tuple[str, float]:
    """The name of the number that trials are chosen by, and 1 if less of it is better, else -1."""
    row = next(row for rows in trials if (row := _of(rows, metric)))
    return row["metric"], 1.0 if row["direction"] == "lower" else -1.0


def _score(record: Record, rows: Mapping[str, Record], metric: str) -> float | str:
    """What a trial has measured, or why it has nothing."""
    if record["status"] != "ok":
        return str(record.get("error") or record["status"])
    row = _of(rows, metric)
    if row is None:
        return f"no {metric or 'metric'} at the end of its curve, but {', '.join(rows) or 'nothing'}"
    return str(row["reason"]) if row.get("reason") else row["value"] if math.isfinite(row["value"]) else "not finite"


def _tried(values: Values, trials: tuple[str, ...], scores: list[float | str]) -> Tried:
    reasons = [score for score in scores if isinstance(score, str)]
    numbers = [score for score in scores if not isinstance(score, str)]
    if reasons:
        return Tried(values=values, trials=trials, reason=reasons[0])
    return Tried(values=values, trials=trials, score=math.fsum(numbers) / len(numbers))


def _is_edge(chosen: Any, values: tuple[Any, ...]) -> bool:
    numbers = [value for value in values if type(value) in (int, float)]
    return len(numbers) == len(values) > 1 and chosen in (min(numbers), max(numbers))


def _total(rows: Iterable[Record], metric: str) -> float:
    return math.fsum(row["value"] for row in rows if row["metric"] == metric and math.isfinite(row["value"]))


def _said(values: Values) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items())
