"""What the names in a record mean, in plain words: metrics, protocols and the settings of a measurement."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Group = Literal["quality", "cost"]


class Metric(NamedTuple):
    """How a metric is shown.

    Attributes:
        title: in a header; `unit` follows in brackets.
        better: which direction is, or "" where neither means better.
        divide: a stored value over this is the shown one.
        meaning: one sentence for a reader who is new to it.
    """

    title: str
    unit: str
    better: Literal["lower", "higher", ""]
    group: Group
    meaning: str
    divide: float = 1.0

    @property
    def superlative(self) -> str:
        """What the best mean is: figures say this, which is a fact, and not that a method is best."""
        return "highest" if self.better == "higher" else "lowest"


METRICS = {
    "nll_nats": Metric(
        "NLL", "nats", "lower", "quality",
        "Mean negative log-likelihood of held-out data under the flow's exact density. The floor is the same mean "
        "under the density that made the data: no model can be below it but by chance.",
    ),
    "nll_bpd": Metric(
        "Bits/dim", "", "lower", "quality",
        "Negative log-likelihood of held-out pixels in bits per dimension, dequantised; K draws of the noise tighten "
        "the bound, so only equal K compare.",
    ),
    "w2": Metric(
        "W₂", "", "lower", "quality",
        "2-Wasserstein distance between samples and held-out data, in the data's own units. Finite samples leave a "
        "positive rest even for a perfect model.",
    ),
    "fid": Metric(
        "FID", "", "lower", "quality",
        "Fréchet distance between Gaussians fitted to Inception features of samples and data. It is biased in the "
        "number of samples, so only equal n, extractor and split compare.",
    ),
    "kid": Metric(
        "KID", "", "lower", "quality",
        "Squared maximum mean discrepancy of Inception features, unbiased in the number of samples.",
    ),
    "precision": Metric(
        "Precision", "", "higher", "quality", "Share of samples that lie within the data's neighbourhood in features."
    ),
    "recall": Metric(
        "Recall", "", "higher", "quality", "Share of data that lies within the samples' neighbourhood in features."
    ),
    "inception_score": Metric(
        "Inception score", "", "higher", "quality", "Confidence and variety of a classifier's labels on samples."
    ),
    "psnr": Metric("PSNR", "dB", "higher", "quality", "Peak signal-to-noise ratio to the reference image."),
    "ssim": Metric("SSIM", "", "higher", "quality", "Structural similarity to the reference image."),
    "path_energy": Metric(
        "Path energy", "", "lower", "quality",
        "Mean of the squared speed of samples integrated along their way from noise to data; at least W₂² between "
        "noise and data, with equality for optimal transport.",
    ),
    "npe": Metric(
        "NPE", "", "lower", "quality",
        "Normalised path energy, |path energy - W₂²| / W₂² with W₂ between noise and data: 0 for optimal transport.",
    ),
    "straightness": Metric(
        "Straightness", "", "lower", "quality",
        "Mean squared difference between the velocity along a path and the path's mean velocity: 0 for straight "
        "lines at constant speed.",
    ),
    "ode_error": Metric(
        "ODE error", "", "lower", "quality",
        "Mean squared difference a dimension between a solver's samples and the solution of the same ODE from the same "
        "noise by 1,000 midpoint evaluations: how well the ODE is solved, not how good the model is.",
    ),
    "nfe_sampling": Metric(
        "Sampling NFE", "", "lower", "cost",
        "Evaluations of the velocity field for one batch of samples: evaluations, not solver steps.",
    ),
    "nfe_likelihood": Metric(
        "Likelihood NFE", "", "lower", "cost", "Evaluations of the field and its divergence for one batch of densities."
    ),
    "nfe_training": Metric(
        "Training NFE", "", "lower", "cost",
        "Network evaluations in the whole training, forward and adjoint: one a step for simulation-free methods.",
    ),
    "train_seconds": Metric(
        "Training time", "s", "lower", "cost", "Seconds in training steps alone: no evaluation, checkpoint or queue."
    ),
    "sampling_seconds": Metric("Sampling time", "s", "lower", "cost", "Seconds to draw all n samples."),
    "likelihood_seconds": Metric("Likelihood time", "s", "lower", "cost", "Seconds for the densities of all n points."),
    "peak_memory_bytes": Metric(
        "Peak memory", "MiB", "lower", "cost", "Largest memory held while training, in the process or on the device.",
        2.0**20,
    ),
}  # fmt: skip

FEATURES = {"fd_": "Fréchet distance", "kd_": "Kernel distance"}
PROTOCOLS = {
    "smoke": "Minutes on a CPU: shows that every part works. Not comparable with any published number.",
    "small": "A reduced experiment: rows compare with each other at the budgets stated, not with a paper.",
    "paper": "The published experiment: same data, network, steps and evaluation, as far as the paper states them.",
}
PHRASES: dict[str, Callable[[Any], str]] = {
    "extractor": lambda v: f"extractor {v}",
    "extractor_version": lambda v: f"version {v}",
    "split": lambda v: f"{v} split",
    "reference_n": lambda v: f"{v:,} reference images",
    "quantiser": lambda v: f"quantised by {v}",
    "layer": lambda v: f"layer {v}",
    "n": lambda v: f"n = {v:,}",
    "batch": lambda v: f"batch {v:,}",
    "weights": lambda v: f"{v.upper() if v == 'ema' else v} weights",
    "kid_subsets": lambda v: f"{v} subsets",
    "kid_subset_size": lambda v: f"{v:,} images a subset",
    "kept": lambda v: f"against {v:,} of them",
    "neighbours": lambda v: f"{v} neighbours",
    "isc_splits": lambda v: f"{v} splits",
    "window": lambda v: f"{v} window",
    "window_size": lambda v: f"{v} pixels wide",
    "sigma": lambda v: f"deviation {v:g}",
    "channels": lambda v: f"{v} channels",
    "data_range": lambda v: f"range {v}",
    "identical": lambda v: f"identical images count as {v}",
}


def metric(name: str) -> Metric:
    """The entry of a metric; `fd_<extractor>` and `kd_<extractor>` are made up on the spot, others shown by name."""
    if name in METRICS:
        return METRICS[name]
    for prefix, words in FEATURES.items():
        if name.startswith(prefix):
            extractor = name.removeprefix(prefix)
            meaning = (
                f"{words} between samples and data in the features of {extractor!r}, a small network of this project: "
                "not an FID, and comparable only within this dataset, n and split."
            )
            return Metric(f"{prefix[:2].upper()} {extractor.replace('_', '-')}", "", "lower", "quality", meaning)
    return Metric(name, "", "", "quality", "A metric of a plugin.")


def is_headline(name: str) -> bool:
    """Whether a metric has a column in the headline table."""
    return name in METRICS or (name.startswith(tuple(FEATURES)) and not name.endswith("_floor"))


def order(name: str) -> tuple[int, str]:
    """Sort key of the columns: as listed above, feature distances where FID stands."""
    known = list(METRICS)
    return (known.index(name) if name in METRICS else known.index("fid"), name)


def tolerance(value: float) -> str:
    """1e-05 -> "1e-5"."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def solver(settings: Mapping[str, Any]) -> str:
    """A solver or sampler with its accuracy: "dopri5 1e-5", "midpoint, 50 steps", "ddim-50"."""
    name = str(settings.get("sampler") or settings.get("solver") or "")
    if settings.get("steps") is not None:
        return f"{name}, {settings['steps']} steps"
    rtol, atol = settings.get("rtol"), settings.get("atol")
    if rtol is None or atol is None or rtol == atol:
        both = rtol if rtol is not None else atol
        return name if both is None else f"{name} {tolerance(both)}"
    return f"{name} rtol {tolerance(rtol)}, atol {tolerance(atol)}"


def words(settings: Mapping[str, Any]) -> list[str]:
    """The settings of a measurement, said shortly, one phrase each."""
    said = [solver(settings)] if settings.get("solver") else []
    if divergence := settings.get("divergence"):
        probes = settings.get("probes") or 1
        hutchinson = f"Hutchinson divergence, {probes} probe{'s' * (probes != 1)}"
        said.append(hutchinson if divergence == "hutchinson" else f"{divergence} divergence")
    if dequantisation := settings.get("dequantisation"):
        draws = settings.get("draws")
        said += [f"{dequantisation} dequantisation", *([f"K = {draws}"] if draws else [])]
    said += [phrase(settings[key]) for key, phrase in PHRASES.items() if settings.get(key) is not None]
    handled = {
        *PHRASES,
        "solver",
        "sampler",
        "rtol",
        "atol",
        "steps",
        "divergence",
        "probes",
        "dequantisation",
        "draws",
    }
    return said + [f"{key} = {value}" for key, value in settings.items() if key not in handled and value is not None]
