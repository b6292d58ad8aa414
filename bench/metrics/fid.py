"""The Frechet distance between the features of samples and of real images.

    FD = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))             Heusel et al. 2017

with mean m and covariance S of the features of all samples, and of all images of the reference. With the FID Inception
it is `fid`, with any other extractor `fd_<extractor>`, on a scale of its own. It is biased upwards by about 1/n.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, Metric, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features

FID = Facts(
    "FID",
    direction="lower",
    meaning="Fréchet distance between Gaussians fitted to Inception features of samples and data. It is biased in the "
    "number of samples, so only equal n, extractor and split compare.",
)
FD = Facts(
    "FD",
    direction="lower",
    meaning="Fréchet distance between samples and data in the features of {}, a small network of this project: not an "
    "FID, and comparable only within this dataset, n and split.",
)


@register_metric("fid", facts={"fid": FID, "fd_": FD}, data="images", in_curve=True, in_sweep=True)
class FrechetDistance(Metric):
    """torch-fidelity's, from streamed moments."""

    needs = "features"

    def measure(self, x: "Features", reference: "Features", dataset: Any, rng: Any) -> float:
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        one, two = ({"mu": side.mean.cpu().numpy(), "sigma": side.covariance.cpu().numpy()} for side in (x, reference))
        return float(fid_statistics_to_metric(one, two, verbose=False)[KEY_METRIC_FID])
