"""The kernel distance between the features of samples and of real images.

    KD = MMD^2 with the kernel (x.y / d + 1)^3, unbiased                Binkowski et al. 2018

of at most 10,000 of each. With the FID Inception it is `kid`, with any other extractor `kd_<extractor>`. Its error is
the standard deviation over 100 random subsets, which is the standard error of an estimate from one subset (what papers
print after the plus-minus) and so more than that of the mean. A subset has 1000 images, or half of the smaller set if
that is less.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, Metric, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features

SUBSETS, SUBSET_SIZE = 100, 1000  # Binkowski et al.'s and torch-fidelity's
KID = Facts(
    "KID",
    direction="lower",
    meaning="Squared maximum mean discrepancy of Inception features, unbiased in the number of samples.",
)
KD = Facts(
    "KD",
    direction="lower",
    meaning="Kernel distance between samples and data in the features of {}, a small network of this project: not an "
    "FID, and comparable only within this dataset, n and split.",
)


@register_metric("kid", facts={"kid": KID, "kd_": KD}, data="images")
class KernelDistance(Metric):
    """torch-fidelity's, of the features that are kept."""

    needs = "features"

    def measure(self, x: "Features", reference: "Features", dataset: Any, rng: Any) -> tuple[float, float]:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

        found = kid_features_to_metric(x.kept, reference.kept, verbose=False, **_options(x, reference))
        return found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD]

    def settings(self, x: "Features", reference: "Features") -> dict[str, Any]:
        return {**_options(x, reference), "kept": len(reference.kept)}

    def count(self, x: "Features") -> int:
        return len(x.kept)


def _options(x: "Features", reference: "Features") -> dict[str, int]:
    size = min(SUBSET_SIZE, len(x.kept) // 2, len(reference.kept) // 2)
    return {"kid_subsets": SUBSETS, "kid_subset_size": size}
