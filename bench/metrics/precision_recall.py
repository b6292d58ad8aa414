"""Precision and recall by neighbours in features, of at most 10,000 samples and real images each.

precision = share of samples within the third-neighbour ball of a real image; recall = the share of real images within
that of a sample (Kynkaanniemi et al. 2019).
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.metric import Facts, register_metric

if TYPE_CHECKING:
    from bench.metrics.extractors.features import Features

NEIGHBOURS = 3
PRECISION = "Share of samples that lie within the data's neighbourhood in features."
RECALL = "Share of data that lies within the samples' neighbourhood in features."


FACTS = {
    "precision": Facts("Precision", "", "higher", meaning=PRECISION, place=32),
    "recall": Facts("Recall", "", "higher", meaning=RECALL, place=33),
}
SETTINGS = {"neighbours": NEIGHBOURS}


@register_metric(
    "precision_recall", facts=FACTS, needs="features", data="images", settings=lambda *_: SETTINGS, of_kept=True
)
def precision_recall(samples: "Features", reference: "Features", *_: Any) -> tuple[tuple[float, None], ...]:
    """Precision and recall in features."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    from bench.training.precision import full_float32

    # A thousand rows of the matrix of distances at once: 40 MB where all of it takes 400 and its sort twice that.
    options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": 1000, "save_cpu_ram": True}
    with full_float32(str(samples.kept.device)):
        found = prc_features_to_metric(samples.kept, reference.kept, verbose=False, **options)
    return (found["precision"], None), (found["recall"], None)
