"""A comparison harness for generative models: a baseline says how it trains and what the trained model can do.

    from bench import FlowBaseline, Network, mean_square, noise, register_baseline

is the one import that the author of a method, network, dataset, sampler, metric or figure needs. It is lazy: what is
not named is not imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.config.registry import register_dataset, register_network  # noqa: F401
    from bench.datasets.base import Dataset  # noqa: F401
    from bench.errors import Diverged, NotApplicable, UsageError  # noqa: F401
    from bench.methods.baseline import Baseline, Phase, register_baseline  # noqa: F401
    from bench.methods.batch import Batch, Context  # noqa: F401
    from bench.methods.density import log_density  # noqa: F401
    from bench.methods.flow import DiffusionBaseline, FlowBaseline, mean_square, noise  # noqa: F401
    from bench.methods.model import Draw, Model  # noqa: F401
    from bench.methods.network import Network  # noqa: F401
    from bench.methods.ode import Solver, VelocityField, solve  # noqa: F401
    from bench.methods.paths import OptimalTransport, Path, VariancePreserving, like  # noqa: F401
    from bench.methods.sampler import Sampler, register_sampler  # noqa: F401
    from bench.metrics.metric import Facts, Metric, register_metric  # noqa: F401
    from bench.papers.claims import Claim, register_claim  # noqa: F401
    from bench.papers.paper import Paper, register_paper  # noqa: F401
    from bench.report.figure import Drawing, FigureData, register_figure  # noqa: F401

_PLACES = {
    "bench.config.registry": ("register_dataset", "register_network"),
    "bench.datasets.base": ("Dataset",),
    "bench.errors": ("Diverged", "NotApplicable", "UsageError"),
    "bench.methods.baseline": ("Baseline", "Phase", "register_baseline"),
    "bench.methods.batch": ("Batch", "Context"),
    "bench.methods.flow": ("DiffusionBaseline", "FlowBaseline", "mean_square", "noise"),
    "bench.methods.model": ("Draw", "Model"),
    "bench.methods.network": ("Network",),
    "bench.methods.density": ("log_density",),
    "bench.methods.ode": ("Solver", "VelocityField", "solve"),
    "bench.methods.paths": ("OptimalTransport", "Path", "VariancePreserving", "like"),
    "bench.methods.sampler": ("Sampler", "register_sampler"),
    "bench.metrics.metric": ("Facts", "Metric", "register_metric"),
    "bench.papers.claims": ("Claim", "register_claim"),
    "bench.papers.paper": ("Paper", "register_paper"),
    "bench.report.figure": ("Drawing", "FigureData", "register_figure"),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
