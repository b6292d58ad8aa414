"""The kernel distance between the features of samples and of real images.

    KD = MMD^2 with the kernel (x.y / d + 1)^3, unbiased                Binkowski et al. 2018

of at most 10,000 of each. With the FID Inception it is `kid`, with any other extractor `kd_<extractor>`. Its error is
the standard deviation over 100 random subsets, which is the standard error of an estimate from one subset (what papers
print after the plus-minus) and so more than that of the mean. A subset has 1000 images, or half of the smaller set if
that is less.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features

SUBSETS, SUBSET_SIZE = 100, 1000  # Binkowski et al.'s and torch-fidelity's
KID = "Squared maximum mean discrepancy of Inception features, unbiased in the number of samples."
KD = (
    "Kernel distance between samples and data in the features of {}: not a KID, and "
    "comparable only within this dataset, extractor, n and split."
)
FACTS = {
    "kid": Facts("KID", direction="lower", meaning=KID, place=31),
    "kd_": Facts("KD", direction="lower", meaning=KD),
}


def subsets(samples: "Features", reference: "Features") -> dict[str, int]:
    """How many subsets of how many images there are."""
    size = min(SUBSET_SIZE, len(samples.kept) // 2, len(reference.kept) // 2)
    return {"kid_subsets": SUBSETS, "kid_subset_size": size}


@register_metric("kid", facts=FACTS, needs="features", data="images", settings=subsets, of_kept=True)
def kernel_distance(samples: "Features", reference: "Features", *_: Any) -> tuple[float, float]:
    """Kernel distance in features: KID with Inception."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    options = subsets(samples, reference)
    found = kid_features_to_metric(samples.kept, reference.kept, verbose=False, **options)
    return found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD]
