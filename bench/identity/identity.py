"""What makes a record the one that is asked for: the settings of its stage, and the source that its numbers hang on.

The source of a stage is what its root below reaches, with the method, network and dataset of the run. An edit of what
only the likelihood needs repeats the likelihood; an edit of a loss repeats the training and all that follows from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from bench.config.registry import Registry, baselines, datasets, metrics, networks, samplers
from bench.config.settings import Component, Samples
from bench.config.suite import Run
from bench.identity import source
from bench.identity.reach import Reached, reach
from bench.identity.source import PROJECT, Place
from bench.metrics.metric import usual

EVALUATED = "bench/evaluation/stages.py: Stages._evaluated"
# "curve" is no stage: what a training measures on its way, which is not trained again when its evaluation changes.
ROOTS = {
    "train": ("bench/evaluation/stages.py: Stages.train", "bench/config/settings.py: Training"),
    "curve": ("bench/evaluation/curve.py: measure_curve", "bench/evaluation/stages.py: Stages.validate"),
    "likelihood": (
        "bench/evaluation/likelihood.py: measure_likelihood",
        "bench/config/settings.py: Likelihood",
        EVALUATED,
    ),
    "samples": ("bench/evaluation/samples.py: measure_samples", "bench/config/settings.py: Samples", EVALUATED),
    "sweep": ("bench/evaluation/sweep.py: measure_sweep", "bench/config/settings.py: Sweep", EVALUATED),
}
# What no number hangs on: words, names, files, records, launching, reports, and how much goes through memory at once.
QUIET = (
    *("bench/command/", "bench/identity/", "bench/launch/", "bench/papers/", "bench/records/", "bench/report/"),
    *("bench/errors.py", "bench/methods/memory.py", "bench/methods/rules.py", "bench/metrics/extractors/cache.py"),
    *(f"bench/config/{name}.py" for name in ("names", "plan", "registry", "suite", "toml")),
    *(f"bench/evaluation/{name}.py" for name in ("clock", "lost", "parts", "unfinished")),
    *(f"bench/training/{name}.py" for name in ("checkpoint", "preemption", "rehearsal", "sparing")),
    *("bench/datasets/downloads.py", "bench/datasets/mirrors.py"),
    *("bench/config/components.py: check_data", "bench/config/options.py"),
    *("bench/evaluation/stages.py: Stages.facts", "bench/training/trainer.py: Trainer._look"),
    "bench/training/trainer.py: Trainer.save",
)
IMAGES_ONLY = ("bench/metrics/extractors/",)
# What a stage does not use, although code that it does use says names of its members.
NOT_IN = {
    "train": (
        "bench/metrics/",
        *(
            f"bench/evaluation/{name}.py"
            for name in ("paths", "likelihood", "log_densities", "quality", "collected", "routes")
        ),
        "bench/evaluation/trained.py",
        "bench/evaluation/solver_error.py",
    ),
    "likelihood": (
        *(f"bench/evaluation/{name}.py" for name in ("quality", "collected", "solver_error", "paths")),
        *IMAGES_ONLY,
    ),
}

# Which metrics of samples a stage takes; a name that is not known here is taken, as its code is not known then.
OF_SAMPLES: dict[str, Callable[[Any], bool]] = {
    "samples": lambda metric: True,
    "sweep": lambda metric: metric is None or metric.in_sweep,
    "curve": lambda metric: metric is None or metric.in_curve,
}
Further = tuple[tuple[str, ...], tuple[str, ...] | None]


@dataclass(frozen=True)
class Code:
    """The source behind a stage."""

    digest: str
    reached: tuple[Reached, ...]

    @cached_property
    def parts(self) -> dict[str, str]:
        """Digests of its parts, by which a change is named."""
        return {part: digest for reached in self.reached for part, digest in reached.parts().items()}


def code(run: Run, stage: str) -> Code | None:
    """The source of a stage as it is now, "curve" included; None where a component is not known here."""
    return _code(*_names(run), stage, _further(run, stage), _state())


def changed(before: dict[str, str], now: dict[str, str]) -> str:
    """Names of the parts that differ, at most three of them."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    # What was edited comes before what it newly leads to.
    names.sort(key=lambda name: (name not in before or name not in now, name.startswith("bench/")))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def plugins(run: Run) -> dict[str, str]:
    """Files outside the project that the run's method, network and dataset are made of, with their SHA-256."""
    found: set[Path] = set()
    for stage in ("train", *run.stages):
        if reached := _reached(*_names(run), stage, _further(run, stage), _state()):
            found |= {path for path, _ in reached.definitions if not source.is_own(path)}
    return {str(path): source.sha256(path) for path in sorted(found)}


def _names(run: Run) -> tuple[str, str, str]:
    return run.baseline.name, run.network.name, run.dataset.name


def _further(run: Run, stage: str) -> Further:
    """The samplers that a stage draws by, and the metrics of samples that the run names."""
    samples, sweep = run.evaluation.samples or Samples(), run.evaluation.sweep
    named: list[Component] = []
    if stage in ("samples", "curve"):
        named = [Component(name=samples.solver.method), *(samples.samplers if stage == "samples" else ())]
    elif stage == "sweep" and sweep:
        named = [*sweep.ways]
    measured = run.evaluation.samples.metrics if run.evaluation.samples and stage in OF_SAMPLES else None
    return tuple(sorted({component.name for component in named})), measured


def _metrics(names: tuple[str, ...] | None, stage: str, data: Reached) -> list[tuple[Place, ...]]:
    """Where the metrics of samples are defined that a stage takes, by default the usual ones of such data."""
    if stage not in OF_SAMPLES:
        return []
    metrics.load()
    found = names or usual(data.says("levels="), data.says("given="))
    taken = OF_SAMPLES[stage]
    return [_places(metrics, name) for name in found if taken(metrics.so_far().get(name))]


def _state() -> tuple[object, ...]:
    """Changes with what is registered and with any file that was read: what is remembered below hangs on it."""
    there = (registry.so_far() for registry in (baselines, networks, datasets, samplers, metrics))
    return (*(frozenset((name, id(entry)) for name, entry in found.items()) for found in there), source.edition)


@lru_cache(maxsize=4096)
def _code(baseline: str, network: str, dataset: str, stage: str, further: Further, state: object) -> Code | None:
    reached = _reached(baseline, network, dataset, stage, further, state)
    if reached is None:
        return None
    if stage == "train":
        return Code(reached.digest, (reached,))
    # Whatever is measured is measured of what was trained.
    training = _code(baseline, network, dataset, "train", ((), None), state)
    assert training is not None
    return Code(source.digest([training.digest, reached.digest])[:16], (*training.reached, reached))


@lru_cache(maxsize=4096)
def _reached(baseline: str, network: str, dataset: str, stage: str, further: Further, state: object) -> Reached | None:
    method, net, of_data = _places(baselines, baseline), _places(networks, network), _places(datasets, dataset)
    if not (method and net and of_data):
        return None
    data = _data(of_data, state)
    chosen = [*(_places(samplers, name) for name in further[0]), *_metrics(further[1], stage, data)]
    if not all(chosen):
        return None
    others = {root for other, roots in ROOTS.items() if other != stage for root in roots if "settings" not in root}
    left_out = [*QUIET, *(others - set(ROOTS[stage])), *NOT_IN.get(stage, ())]
    if not data.says("levels="):
        left_out += IMAGES_ONLY
    return reach([*method, *net, *data.definitions, *chain(*chosen), *map(_place, ROOTS[stage])], left_out)


@lru_cache(maxsize=1024)
def _data(roots: tuple[Place, ...], state: object) -> Reached:
    """What builds a dataset, with the other datasets that it names where it looks some up."""
    while True:
        reached = reach(roots, QUIET)
        further: list[Place] = []
        if any(("datasets",) in found.chains for found in reached.definitions.values()):
            texts = {text for found in reached.definitions.values() for text in found.texts}
            known = {place for text in sorted(texts) for place in _builtin(datasets, text)}
            further = sorted(known - set(reached.definitions))
        if not further:
            return reached
        roots = (*roots, *further)


def _place(root: str) -> Place:
    where, _, name = root.partition(": ")
    return PROJECT / where, name


def _builtin(registry: Registry[Any], name: str) -> tuple[Place, ...]:
    return _registered(registry.package, name, _state())


@lru_cache(maxsize=1024)
def _registered(package: str, name: str, state: object) -> tuple[Place, ...]:
    return tuple(source.registered(PROJECT / package.replace(".", "/"), name))


def _places(registry: Registry[Any], name: str) -> tuple[Place, ...]:
    """Where a component is defined: in the project, or where a plugin that is loaded has it."""
    if found := _builtin(registry, name):
        return found
    if name not in registry.so_far() and metadata.entry_points(group=registry.group):
        registry.load()
    entry = registry.so_far().get(name)
    return tuple(source.defined(entry, name)) if entry is not None else ()
