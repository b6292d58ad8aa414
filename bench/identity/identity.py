"""What makes a record the one that is asked for: the settings of its stage, and the source that its numbers hang on.

The source of a stage is what its root below reaches, with the method, network and dataset of the run. An edit of what
only the likelihood needs repeats the likelihood; an edit of a loss repeats the training and all that follows from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bench.config.registry import Registry, baselines, datasets, metrics, networks, samplers
from bench.config.suite import NOTHING, Run
from bench.identity import source
from bench.identity.reach import Reached, reach
from bench.identity.source import PROJECT, Place
from bench.metrics.chosen import usual

EVALUATED = "bench/evaluation/stages.py: Stages._evaluated"
# "curve" is no stage: what a training measures on its way, which is not trained again when its evaluation changes; nor
# is "elsewhere": samples that no method here drew.
ROOTS = {
    "train": (
        "bench/evaluation/stages.py: Stages.train",
        "bench/config/settings.py: Training",
        "bench/training/stack.py: Stack",
    ),
    "curve": ("bench/evaluation/curve.py: measure_curve", "bench/evaluation/stages.py: Stages.validate"),
    "likelihood": (
        "bench/evaluation/likelihood.py: measure_likelihood",
        "bench/config/settings.py: Likelihood",
        EVALUATED,
    ),
    "samples": ("bench/evaluation/samples.py: measure_samples", "bench/config/settings.py: Samples", EVALUATED),
    "sweep": ("bench/evaluation/sweep.py: measure_sweep", "bench/config/settings.py: Sweep", EVALUATED),
    "elsewhere": (
        "bench/evaluation/elsewhere.py: score",
        "bench/datasets/elsewhere.py: opened",
        "bench/config/settings.py: Samples",
    ),
}
FLOOR = ("bench/evaluation/floors.py: floors", "bench/evaluation/quality.py: Judge")
# What no number hangs on: words, names, files, records, launching, reports, and how much goes through memory at once.
QUIET = (
    *("bench/command/", "bench/estimate/", "bench/identity/", "bench/launch/", "bench/papers/"),
    *("bench/records/", "bench/report/", "bench/errors.py", "bench/metrics/extractors/cache.py"),
    *(f"bench/methods/{name}.py" for name in ("compilation", "memory", "rules")),
    *(f"bench/config/{name}.py" for name in ("cell", "experiment", "plan", "registry", "suite", "toml", "validated")),
    # What trials choose is a setting of the run (bench/records/tuned.py).
    *(f"bench/config/{name}.py" for name in ("choice", "trials", "tune")),
    *(f"bench/evaluation/{name}.py" for name in ("board", "clock", "kept", "lost", "parts", "unfinished", "watching")),
    *(f"bench/training/{name}.py" for name in ("ahead", "checkpoint", "cores", "preemption", "rehearsal")),
    *("bench/training/sparing.py", "bench/training/watch.py"),
    *("bench/config/elsewhere.py", "bench/datasets/downloads.py", "bench/datasets/mirrors.py"),
    *("bench/config/names.py: safe_name", "bench/config/components.py: check_data", "bench/config/options.py"),
    *("bench/evaluation/stages.py: Stages.facts", "bench/training/build.py: check_folder"),
    *(f"bench/training/trainer.py: Trainer.{name}" for name in ("_look", "save", "_tell")),
    *("bench/training/state.py: TrainingState.where", "bench/training/state.py: TrainingState.latest"),
)
IMAGES_ONLY = ("bench/metrics/extractors/",)
# What only `About` leads to, by what a method that asks for it says after a dot.
ABOUT = {"deviation": "bench/datasets/deviation.py"}
# What a stage does not use, although code that it does use says names of its members.
NOT_IN = {
    "train": (
        "bench/metrics/",
        *(f"bench/evaluation/{name}.py" for name in ("paths", "follow", "yardsticks", "likelihood", "log_densities")),
        *(f"bench/evaluation/{name}.py" for name in ("quality", "collected", "routes")),
        "bench/evaluation/trained.py",
        "bench/evaluation/solver_error.py",
    ),
    "likelihood": (
        *(f"bench/evaluation/{name}.py" for name in ("quality", "collected", "solver_error")),
        *(f"bench/evaluation/{name}.py" for name in ("paths", "follow", "yardsticks")),
        *IMAGES_ONLY,
    ),
}


class _Key(NamedTuple):
    """What the source of a stage hangs on; `state` changes with what is registered and with any file that was read."""

    stage: str
    baseline: str
    network: str
    dataset: str
    samplers: tuple[str, ...] = ()
    metrics: tuple[str, ...] | None = None
    extractors: tuple[str, ...] = ()
    state: object = None


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
    return _code(_key(run, stage))


def floor(metric: str, dataset: str, is_image: bool) -> str | None:
    """Digest of the source that a floor of a metric hangs on; None of a metric not known here.

    The source of a data set that is in no registry is not in it.
    """
    found = _places(metrics, metric)
    return _of_data([*found, *_own(FLOOR)], dataset, QUIET if is_image else (*QUIET, *IMAGES_ONLY)) if found else None


def yardstick(function: str, dataset: str, *kinds: type) -> str:
    """Digest of the source of what a function measures of points, with the classes that it is told of."""
    told = chain.from_iterable(source.defined(kind, kind.__name__) for kind in kinds)
    return _of_data([*_own([function]), *told], dataset, (*QUIET, *IMAGES_ONLY))


def _of_data(roots: Iterable[Place], dataset: str, left_out: tuple[str, ...]) -> str:
    data = _data(_places(datasets, dataset), _state())
    return reach([*roots, *data.definitions], left_out).digest


def code_elsewhere(dataset: str, named: Iterable[str] | None, extractors: Iterable[str]) -> Code | None:
    """The source that the score of samples made elsewhere hangs on; by the usual metrics if none is named."""
    measured = None if named is None else tuple(named)
    return _code(_Key("elsewhere", "", "", dataset, (), measured, tuple(extractors), _state()))


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
        if reached := _reached(_key(run, stage)):
            found |= {path for path, _ in reached.definitions if not source.is_own(path)}
    return {str(path): source.sha256(path) for path in sorted(found)}


def _key(run: Run, stage: str) -> _Key:
    named = run.named.get(stage, NOTHING)
    return _Key(stage, run.baseline.name, run.network.name, run.dataset.name, *named, _state())


def _state() -> object:
    known = (registry.so_far() for registry in (baselines, networks, datasets, samplers, metrics))
    return (*((*found, *map(id, found.values())) for found in known), source.edition)


@lru_cache(maxsize=4096)
def _code(key: _Key) -> Code | None:
    reached = _reached(key)
    if reached is None or key.stage in ("train", "elsewhere"):
        return Code(reached.digest, (reached,)) if reached else None
    # Whatever is measured is measured of what was trained.
    training = _code(key._replace(stage="train", samplers=(), metrics=None, extractors=()))
    assert training is not None
    return Code(source.digest([training.digest, reached.digest])[:16], (*training.reached, reached))


@lru_cache(maxsize=4096)
def _reached(key: _Key) -> Reached | None:
    stage = key.stage
    method = [] if stage == "elsewhere" else [_places(baselines, key.baseline), _places(networks, key.network)]
    roots = [*method, _places(datasets, key.dataset)]
    if not all(roots):
        return None
    data = _data(roots[-1], key.state)
    roots += [_places(samplers, name) for name in key.samplers]
    roots += [_extractor(name) for name in key.extractors]
    if stage in ("samples", "sweep", "curve", "elsewhere"):
        metrics.load()
        for name in key.metrics or usual(data.says("levels="), data.says("given=") or data.says("train_given=")):
            # One that is not known here is taken, as its code is not known then.
            if getattr(metrics.so_far().get(name), f"in_{stage}", True):
                roots.append(_places(metrics, name))
    if not all(roots):
        return None
    own = _own(ROOTS[stage])
    others = {root for other, roots in ROOTS.items() if other != stage for root in roots if "settings" not in root}
    left_out = [*QUIET, *(others - set(ROOTS[stage])), *NOT_IN.get(stage, ())]
    if not data.says("levels="):
        left_out += IMAGES_ONLY
    places = [*chain(*roots), *data.definitions, *own]
    found = reach(places, [*left_out, *ABOUT.values()])
    return reach(places, left_out) if ABOUT.keys() & found.named else found


@lru_cache(maxsize=1024)
def _data(roots: tuple[Place, ...], state: object) -> Reached:
    """What builds a dataset, with the other datasets that it names where it looks some up."""
    while True:
        reached = reach(roots, QUIET)
        further: list[Place] = []
        if any(("datasets",) in found.chains for found in reached.definitions.values()):
            texts = {text for found in reached.definitions.values() for text in found.texts}
            known = {
                place for text in sorted(texts) for place in source.registered(datasets.package, text, source.edition)
            }
            further = sorted(known - set(reached.definitions))
        if not further:
            return reached
        roots = (*roots, *further)


def _extractor(name: str) -> tuple[Place, ...]:
    """Where an extractor is defined: in a module of its name, or where a plugin that is loaded has it.

    Those that every run of images reaches, and torch-fidelity's own, have the module that runs them all.
    """
    folder = PROJECT / "bench" / "metrics" / "extractors"
    path = folder / f"{name}.py"
    if not path.is_file() and not name.endswith("_cnn"):
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known

        if name not in known or not known[name].__module__.startswith("torch_fidelity."):
            return source.defined(known[name], name) if name in known else ()
    path = path if path.is_file() else folder / "catalogue.py"
    return tuple((path, defined) for defined in source.module(path).definitions)


def _own(roots: Iterable[str]) -> list[Place]:
    return [(PROJECT / file, name) for file, _, name in (root.partition(": ") for root in roots)]


def _places(registry: Registry[Any], name: str) -> tuple[Place, ...]:
    """Where a component is defined: in the project, or where a plugin that is loaded has it."""
    if found := source.registered(registry.package, name, source.edition):
        return found
    if name not in registry.so_far() and metadata.entry_points(group=registry.group):
        registry.load()
    entry = registry.so_far().get(name)
    return source.defined(entry, name) if entry is not None else ()
