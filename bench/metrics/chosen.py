"""Which metrics samples are measured by: those that a suite names, or the usual ones of such data."""

from collections.abc import Iterable

from bench.config.registry import metrics, unknown
from bench.errors import UsageError
from bench.metrics.metric import Data, Metric

USUAL = {"points": ("w2",), "images": ("fid", "kid", "precision_recall", "inception_score"), "given": ("psnr", "ssim")}


def of_samples(name: str) -> Metric:
    """The metric of samples of that name.

    Raises:
        UsageError: the name is not known, or of no metric of samples.
    """
    if name not in metrics or not metrics[name].needs:
        known = [other for other, entry in metrics.items() if entry.needs]
        raise UsageError("evaluation.samples.metrics: " + unknown("metric of samples", name, known))
    found: Metric = metrics[name]
    return found


def usual(is_image: bool, is_given: bool) -> tuple[str, ...]:
    """Names of the usual metrics of samples: those of pairs if each sample is given what it should fit."""
    return (*USUAL["images" if is_image else "points"], *(USUAL["given"] if is_image and is_given else ()))


def chosen(names: Iterable[str] | None, is_image: bool, is_given: bool, limits: Iterable[str] = ()) -> list[Metric]:
    """The metrics of samples by their names; without names the usual ones of such data.

    Raises:
        UsageError: a name that is not known, or of no metric of samples, or of one for other data; a limit of none of
            these, or of one that has no number of its own to replace, or takes features of all samples.
    """
    kind: Data = "images" if is_image else "points"
    found = [of_samples(name) for name in names or usual(is_image, is_given)]
    for metric in found:
        if metric.data not in ("any", kind):
            allowed = [other for other, entry in metrics.items() if entry.needs and entry.data in ("any", kind)]
            message = f"{metric.name!r} is for {metric.data}, and the data are {kind}; allowed: {', '.join(allowed)}"
            raise UsageError(f"evaluation.samples.metrics: {message}")
    found = [metric.on(kind) for metric in found]
    limited = [metric.name for metric in found if isinstance(metric.limit, int) and metric.needs == "samples"]
    for name in limits:
        if name not in limited:
            known = f"allowed are its metrics with a limit: {', '.join(limited)}" if limited else "none has a limit"
            raise UsageError(f"evaluation.samples.limits: {name!r}: {known}")
    return found
