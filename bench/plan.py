"""From a suite to its runs: every experiment x baseline x seed, with the settings that apply to each.

Precedence, weakest first: the experiment, its protocol, the baseline's override, its override under the protocol,
`--set`.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import UsageError
from bench.registry import unknown
from bench.settings import Component
from bench.suite import Experiment, Run, Suite, Variation, validated


def plan(
    name: str,
    suite: Suite,
    protocol: str | None = None,
    baselines: Iterable[str] | None = None,
    datasets: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Run]:
    """The runs of a suite, in the order of its file, narrowed to what was asked for.

    Args:
        settings: dotted keys (`training.steps`, `network.width`, `evaluation.samples.n`, `fm_ot.sigma_min`) to values.

    Raises:
        UsageError: an unknown protocol, or a baseline, dataset or key that nothing in the suite answers to.
    """
    protocol = protocol or suite.protocol
    offered = {suite.protocol, *(p for e in suite.experiments for p in e.protocols)}
    if protocol not in offered:
        raise UsageError(f"--protocol {protocol}: suite {name} has {', '.join(sorted(offered))}")
    named = list(baselines) if baselines is not None else None
    chosen_datasets = _narrow("--datasets", datasets, [d.name for e in suite.experiments for d in e.dataset], name)
    layers = [(e, e.protocols.get(protocol, Variation())) for e in suite.experiments]
    known = list(dict.fromkeys([*(b for e, v in layers for b in v.baselines or e.baselines), *(named or ())]))
    runs: dict[str, Run] = {}
    for experiment, variation in layers:
        for dataset in experiment.dataset:
            if dataset.name not in chosen_datasets:
                continue
            # A baseline that is named on the command line runs even where the suite does not list it.
            for baseline in named if named is not None else variation.baselines or experiment.baselines:
                for seed in seeds if seeds is not None else variation.seeds or experiment.seeds or suite.seeds:
                    where = f"suite {name}, {baseline}"
                    cell = _cell(experiment, dataset, protocol, baseline, where)
                    _set(cell, baseline, settings or {}, known)
                    options = cell.pop("options")
                    fields = {**cell, "baseline": {"name": baseline, "options": options}, "seed": seed}
                    run: Run = validated(Run, {"suite": name, "protocol": protocol, **fields}, where)
                    if runs.setdefault(run.run_id, run) != run:
                        raise UsageError(f"{where}: {run.run_id} is planned twice, with different evaluations")
    return list(runs.values())


def _cell(experiment: Experiment, dataset: Component, protocol: str, baseline: str, where: str) -> dict[str, Any]:
    """The experiment's settings for one dataset and baseline, under its protocol and the baseline's override."""
    cell: dict[str, Any] = {
        "dataset": dataset.model_dump(),
        "network": experiment.network.model_dump(),
        "options": {},
        "training": experiment.training.model_dump(exclude_unset=True),
        "evaluation": experiment.evaluation.model_dump(exclude_unset=True),
    }
    variation = experiment.protocols.get(protocol, Variation())
    layers = {
        f"protocols.{protocol}": variation.layer,
        f"overrides.{baseline}": experiment.overrides.get(baseline, {}),
        f"protocols.{protocol}.overrides.{baseline}": variation.overrides.get(baseline, {}),
    }
    for source, layer in layers.items():
        known = [*cell, *(Variation.model_fields if source == f"protocols.{protocol}" else ())]
        for key in layer:
            if key not in cell:
                raise UsageError(f"{where}: {source}: " + unknown("key", key, known))
        _merge(cell, copy.deepcopy(layer), f"{where}: {source}")
    return cell


def _set(cell: dict[str, Any], baseline: str, settings: Mapping[str, Any], known: list[str]) -> None:
    """Apply `--set KEY=VALUE` to the cell of one baseline."""
    for key, value in settings.items():
        head, *rest = key.split(".")
        if head in known and len(rest) == 1:
            if head == baseline:
                cell["options"][rest[0]] = value
        elif head in ("dataset", "network") and len(rest) == 1:
            target = cell[head] if rest[0] == "name" else cell[head]["options"]
            target[rest[0]] = value
        elif head in ("training", "evaluation") and rest:
            nested: Any = value
            for part in reversed(rest):
                nested = {part: nested}
            _merge(cell[head], nested, f"--set {key}")
        else:
            raise UsageError(
                f"--set {key}={value}: a key is training.KEY, evaluation.STAGE.KEY, network.OPTION, dataset.OPTION "
                f"or BASELINE.OPTION (baselines here: {', '.join(known)})"
            )


def _merge(into: dict[str, Any], layer: dict[str, Any], where: str) -> None:
    for key, value in layer.items():
        if key in ("dataset", "network"):
            into[key] = validated(Component, value, f"{where}: {key}").model_dump()
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, where)
        else:
            into[key] = value


def _narrow(option: str, wanted: Iterable[str] | None, there: list[str], suite: str) -> list[str]:
    if wanted is None:
        return there
    for name in wanted:
        if name not in there:
            raise UsageError(f"{option} {name}: " + unknown(f"dataset of suite {suite}", name, there))
    return list(wanted)
