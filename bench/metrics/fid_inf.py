"""The Frechet distance that infinitely many samples would score.

    FD(n) = a + b / n + O(1/n^2),    FD_inf = a                         Chong & Forsyth 2020

The bias of the distance falls with the number n of samples, at a rate b that differs between models, so that even equal
n favour some. Here a and b are fitted by least squares to 15 values of n, evenly spaced from half to all of the at most
10,000 samples whose features are kept, each of a random subset; of more samples, the distance of all is one value more.
The reference has all of its images, whose own bias stays. The error is that of the fit: it does not know that the
subsets share their samples.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics import frechet
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    import torch

    from bench.metrics.extractors.features import Features

SIZES = 15  # Chong and Forsyth's
FID = "Fréchet distance of Inception features, extrapolated to infinitely many samples; that of the reference stays."
FD = (
    "Fréchet distance between samples and data in the features of {}, extrapolated to infinitely many samples: "
    "not an FID, and comparable only within this dataset, extractor and reference."
)
FACTS = {
    "fid_inf": Facts("FID∞", "", "lower", meaning=FID),
    "fd_inf_": Facts("FD∞", "", "lower", meaning=FD),
}


def sizes(samples: "Features") -> list[int]:
    """The numbers of samples whose distances are fitted."""
    kept = len(samples.kept)
    found = {round(kept / 2 * (1 + i / (SIZES - 1))) for i in range(SIZES)}
    return sorted(found | {samples.n})


def fitted(samples: "Features", reference: "Features") -> dict[str, int]:
    """How many numbers of samples the fit has, and which is the least."""
    found = sizes(samples)
    return {"fit_sizes": len(found), "fit_least": found[0]}


@register_metric("fid_inf", facts=FACTS, needs="features", data="images", settings=fitted)
def extrapolated_distance(
    samples: "Features", reference: "Features", dataset: Any, rng: "torch.Generator"
) -> tuple[float, float]:
    """Frechet distance in features, extrapolated in the number of samples."""
    import torch

    distances, numbers = [], sizes(samples)
    for n in numbers:
        if n < samples.n:
            chosen = torch.randperm(len(samples.kept), generator=rng)[:n].to(samples.kept.device)
            distances.append(frechet.of_rows(samples.kept[chosen], reference))
        else:
            distances.append(frechet.of_all(samples, reference))
    return intercept(numbers, distances)


def intercept(numbers: list[int], values: list[float]) -> tuple[float, float]:
    """a of the least-squares line a + b / n, and its standard error."""
    from scipy.stats import linregress

    fit = linregress([1 / n for n in numbers], values)
    return float(fit.intercept), float(fit.intercept_stderr)
