"""What the names in a record mean, in plain words: metrics, protocols and the settings of a measurement."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bench.metrics.metric import SAID, Facts, facts_of

SCALES = {
    "bytes": ("MiB", 2.0**20),
    "share": ("%", 0.01),
}  # unit of a record: the one that is shown, and what a value is divided by then
HANDLED = ("solver", "sampler", "rtol", "atol", "steps", "divergence", "probes", "dequantisation", "draws")
PROTOCOLS = {
    "smoke": "Minutes on a CPU: shows that every part works. Not comparable with any published number.",
    "small": "A reduced experiment: rows compare with each other at the budgets stated, not with a paper.",
    "paper": "The published experiment: same data, network, steps and evaluation, as far as the paper states them.",
}
PHRASES: dict[str, Callable[[Any], str]] = {
    "extractor": lambda v: f"extractor {v}",
    "extractor_version": lambda v: f"version {v}",
    "density": lambda v: {"own": "the model's own density", "bound": "a bound"}.get(v, f"{v} density"),
    "importance": lambda v: f"K = {v:,} weights" if v > 1 else "K = 1",
    "split": lambda v: f"{v} split",
    "joined": lambda v: f"of samples joined with what they are {v}",
    "labels": lambda v: "told every class equally often" if v == "balanced" else f"given labels of the {v} split",
    "reference_n": lambda v: f"{v:,} reference images",
    "quantiser": lambda v: f"quantised by {v}",
    "layer": lambda v: f"layer {v}",
    "n": lambda v: f"n = {v:,}",
    "epsilon": lambda v: f"ε = {v:g}",
    "mixed_with": lambda v: (
        f"mixed with {'the normal density of the training data' if v == 'normal' else f'a {v} one'}"
    ),
    "batch": lambda v: f"batch {v:,}",
    "stacked": lambda v: "seeds trained in a stack",
    "repeats": lambda v: f"mean of {v} repeats",
    "plans": lambda v: f"W₂² as the mean of {v} draws",
    "plan_n": lambda v: f"of {v:,} points each",
    "weights": lambda v: f"{v.upper() if v == 'ema' else v} weights",
    "kid_subsets": lambda v: f"{v} subsets",
    "kid_subset_size": lambda v: f"{v:,} images a subset",
    "kept": lambda v: f"against {v:,} of them",
    "fit_sizes": lambda v: f"a line through {v} numbers of samples",
    "fit_least": lambda v: f"{v:,} at least",
    "neighbours": lambda v: f"{v} neighbours",
    "isc_splits": lambda v: f"{v} splits",
    "projections": lambda v: f"{v} directions",
    "scales": lambda v: f"Gaussian kernels of {', '.join(f'{scale:g}' for scale in v)} median distances",
    "of_median": lambda v: f"median of {v:,} held-out points",
    "folds": lambda v: f"{v} folds",
    "hidden": lambda v: f"{v} hidden units",
    "epochs": lambda v: f"{v:,} epochs at most",
    "quantile": lambda v: f"{v:.3g} quantile",
    "window": lambda v: f"{v} window",
    "window_size": lambda v: f"{v} pixels wide",
    "sigma": lambda v: f"deviation {v:g}",
    "channels": lambda v: f"{v} channels",
    "data_range": lambda v: f"range {v}",
    "identical": lambda v: f"identical images count as {v}",
}


def metric(name: str) -> Facts:
    """How a metric is shown of which there is no record."""
    return _shown(facts_of(name))


def recorded(row: Any) -> Facts:
    """How a metric is shown, by what a row of the frame says of it."""
    facts = Facts(*(getattr(row, key) for key in SAID))
    return _shown(facts if facts.meaning else replace(facts, meaning=facts_of(row.metric).meaning))


def headed(about: Facts) -> str:
    """A metric with its unit: "NLL [nats]"."""
    return about.title + (f" [{about.unit}]" if about.unit else "")


def _shown(facts: Facts) -> Facts:
    unit, divide = SCALES.get(facts.unit, (facts.unit, 1.0))
    return replace(facts, unit=unit, divide=divide, meaning=facts.meaning or "A metric of a plugin.")


def order(name: str) -> tuple[int, str]:
    """Sort key of the columns: by the place that a metric has in its file."""
    return facts_of(name).place, name


def tolerance(value: float) -> str:
    """1e-05 -> "1e-5"."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def solver(settings: Mapping[str, Any]) -> str:
    """A solver or sampler with its accuracy: "dopri5 1e-5", "midpoint, 50 steps", "ddim-50"."""
    name = str(settings.get("sampler") or settings.get("solver") or "")
    if (steps := settings.get("steps")) is not None:
        return f"{name}, {steps} step{'s' * (steps != 1)}"
    rtol, atol = settings.get("rtol"), settings.get("atol")
    if rtol is None or atol is None or rtol == atol:
        both = rtol if rtol is not None else atol
        return name if both is None else f"{name} {tolerance(both)}"
    return f"{name} rtol {tolerance(rtol)}, atol {tolerance(atol)}"


def words(settings: Mapping[str, Any]) -> list[str]:
    """The settings of a measurement, one phrase each."""
    phrases = [solver(settings)] if settings.get("solver") else []
    if divergence := settings.get("divergence"):
        probes = settings.get("probes") or 1
        hutchinson = f"Hutchinson divergence, {probes} probe{'s' * (probes != 1)}"
        phrases.append(hutchinson if divergence == "hutchinson" else f"{divergence} divergence")
    if dequantisation := settings.get("dequantisation"):
        draws = settings.get("draws")
        phrases += [f"{dequantisation} dequantisation", *([f"K = {draws}"] if draws else [])]
    phrases += [phrase(settings[key]) for key, phrase in PHRASES.items() if settings.get(key) is not None]
    handled = {*PHRASES, *HANDLED}
    return phrases + [f"{key} = {value}" for key, value in settings.items() if key not in handled and value is not None]
