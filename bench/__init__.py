"""A comparison harness for generative models: a baseline says how it trains and what the trained model can do.

    from bench import FlowBaseline, Network, mean_square, noise, register_baseline

is the one import that the author of a method, network, dataset, sampler, metric or figure needs. It is lazy: what is
not named is not imported.
"""

import ast
import pathlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

# ruff: noqa: F401
if TYPE_CHECKING:  # the names, each with its home
    from bench.config.registry import register_dataset, register_network
    from bench.config.settings import Deviation, NonNegative, Positive, Rate
    from bench.datasets.base import Dataset
    from bench.errors import Diverged, NotApplicable, UsageError
    from bench.evaluation.loaded import load
    from bench.methods.baseline import About, Baseline, Make, Phase, register_baseline
    from bench.methods.batch import Batch, Context
    from bench.methods.bridge import BridgeFlow, BrownianBridge
    from bench.methods.consistency import ConsistencyBaseline
    from bench.methods.coupling_layers import CouplingLayers
    from bench.methods.couplings import CoupledFlow, CoupledGaussianFlow, Coupling
    from bench.methods.denoiser import DenoiserBaseline, ScaledToData, Scaling, edm_scaling, log_normal_levels
    from bench.methods.density import log_density, log_normal
    from bench.methods.flow import DiffusionBaseline, FlowBaseline, mean_square, noise, standard_normal
    from bench.methods.flow_map import FlowMapBaseline
    from bench.methods.gaussian import GaussianFlow
    from bench.methods.latent import Decoder, latents
    from bench.methods.model import Draw, Model
    from bench.methods.network import Network
    from bench.methods.noise_levels import NoiseLevels
    from bench.methods.ode import Solver, VelocityField, solve
    from bench.methods.pairs import copy_weights, led
    from bench.methods.paths import OptimalTransport, Path, Smoothed, Trigonometric, VariancePreserving, like
    from bench.methods.prediction import Prediction
    from bench.methods.sampler import Sampler, register_sampler
    from bench.methods.tangents import along
    from bench.methods.times import LogMean, LogStd, TimedFlow, Times
    from bench.metrics.metric import Facts, Metric, register_metric
    from bench.papers.claims import Claim, register_claim
    from bench.papers.paper import Paper, register_paper
    from bench.records.frame import frame
    from bench.report.figure import Drawing, FigureData, register_figure

_HOMES = {
    alias.name: str(node.module)
    for node in ast.walk(ast.parse(pathlib.Path(__file__).read_text(encoding="utf-8")))
    if isinstance(node, ast.ImportFrom) and str(node.module).startswith("bench.")
    for alias in node.names
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
