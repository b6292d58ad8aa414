"""The Frechet distance between the features of samples and of real images.

    FD = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))             Heusel et al. 2017

with mean m and covariance S of the features of all samples, and of all images of the reference. With the FID Inception
it is `fid`, with any other extractor `fd_<extractor>`, on a scale of its own. It is biased upwards by about 1/n.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics import frechet
from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features

FID = (
    "Fréchet distance between Gaussians fitted to Inception features of samples and data. It is biased in the number "
    "of samples, so only equal n, extractor and split compare."
)
FD = (
    "Fréchet distance between samples and data in the features of {}: not an FID, and "
    "comparable only within this dataset, extractor, n and split."
)
FACTS = {"fid": Facts("FID", "", "lower", meaning=FID, place=29), "fd_": Facts("FD", "", "lower", meaning=FD)}


@register_metric("fid", facts=FACTS, needs="features", data="images", in_curve=True, in_sweep=True)
def frechet_distance(samples: "Features", reference: "Features", *_: Any) -> float:
    """Frechet distance in features: FID with Inception."""
    return frechet.of_all(samples, reference)
