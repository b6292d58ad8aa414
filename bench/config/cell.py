"""The settings of one dataset and baseline: an experiment's, in layers, with what `--set` changes in them.

Precedence, weakest first: the experiment, its protocol, the baseline's override, its override under the protocol,
`--set`. `--set KEY=` without a value takes what they say of KEY away, which leaves its default.
"""

import copy
from collections.abc import Mapping
from typing import Any

from bench.config.experiment import Experiment, Variation
from bench.config.registry import unknown
from bench.config.settings import Component
from bench.config.suite import Run
from bench.config.tune import Tune
from bench.config.validated import fields_at, validated
from bench.errors import UsageError

UNSET = object()  # the value of a setting that is taken away


def cell_of(experiment: Experiment, dataset: Component, protocol: str, baseline: str, where: str) -> dict[str, Any]:
    """The experiment's settings for one dataset and baseline, under its protocol and the baseline's override."""
    cell: dict[str, Any] = {
        "dataset": dataset.model_dump(),
        "network": experiment.network.model_dump(),
        "options": {},
        "training": experiment.training.model_dump(exclude_unset=True),
        "evaluation": experiment.evaluation.model_dump(exclude_unset=True),
        "tune": experiment.tune and experiment.tune.model_dump(exclude_unset=True),
    }
    variation = experiment.variation(protocol)
    layers = {
        f"protocols.{protocol}": variation.model_extra or {},
        f"overrides.{baseline}": experiment.overrides.get(baseline, {}),
        f"protocols.{protocol}.overrides.{baseline}": variation.overrides.get(baseline, {}),
    }
    for source, layer in layers.items():
        known = [*cell, *(Variation.model_fields if source == f"protocols.{protocol}" else ())]
        for key in layer:
            if key == "tune" and source != f"protocols.{protocol}":
                raise UsageError(f"{where}: {source}: tune: all baselines of an experiment try the same")
            if key not in cell:
                raise UsageError(f"{where}: {source}: " + unknown("key", key, known))
        _merge(cell, copy.deepcopy(layer), f"{where}: {source}")
    cell["tune"] = None if cell["tune"] is False else cell["tune"]
    return cell


def apply(cell: dict[str, Any], baseline: str, settings: Mapping[str, Any], known: list[str]) -> set[str]:
    """Apply `--set KEY=VALUE` to the cell of one baseline; the keys that were there and were taken away."""
    gone = set()
    for key, value in settings.items():
        head, *path = _path(key, value, known)
        if head in known and head != baseline:
            continue
        if key == "tune":
            gone |= {key} if cell["tune"] else set()
            cell["tune"] = None
            continue
        cell["tune"] = {} if head == "tune" and not cell["tune"] else cell["tune"]
        holder: dict[str, Any] = cell["options"] if head == baseline else cell[head]
        *above, last = path
        if value is UNSET:
            for part in above:
                inner = holder.get(part)
                holder = inner if isinstance(inner, dict) else {}
            gone |= {key} if holder.pop(last, UNSET) is not UNSET else set()
        else:
            for part in reversed(path):
                value = {part: value}
            _merge(holder, value, f"--set {key}")
    return gone


def _path(key: str, value: Any, known: list[str]) -> list[str]:
    """Where a cell has a dotted key; UsageError for one that no setting has, and for a name that is taken away."""
    head, *rest = key.split(".")
    if head in (*known, "dataset", "network") and len(rest) == 1:
        if rest == ["name"] and head not in known:
            if value is UNSET:
                raise UsageError(f"--set {key}=: it needs a value")
            return [head, "name"]
        return [head, *([] if head in known else ["options"]), *rest]
    if head == "tune" and (rest or value is UNSET):
        if rest and rest[0] not in Tune.model_fields:
            raise UsageError(f"--set {key}: " + unknown("key", rest[0], list(Tune.model_fields)))
        return [head, *rest]
    if head in ("training", "evaluation") and rest:
        fields = fields_at(Run, (head, *rest[:-1]))
        if value is UNSET and rest[-1] not in fields:
            raise UsageError(f"--set {key}=: " + unknown("key", rest[-1], fields))
        return [head, *rest]
    raise UsageError(
        f"--set {key}={'' if value is UNSET else value}: a key is training.KEY, evaluation.STAGE.KEY, "
        f"tune.KEY, network.OPTION, dataset.OPTION or BASELINE.OPTION (baselines here: {', '.join(known)})"
    )


def _merge(into: dict[str, Any], layer: dict[str, Any], where: str) -> None:
    for key, value in layer.items():
        if key in ("dataset", "network"):
            into[key] = validated(Component, value, f"{where}: {key}").model_dump()
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, where)
        else:
            into[key] = value
