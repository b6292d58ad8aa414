"""Density and coverage by neighbours: of points in their own space, of images in the features that are kept.

    density  = 1 / (k n) sum over samples i of #{j : |x_i - y_j| < r_j}               Naeem et al. 2020
    coverage = share of data points j with some |x_i - y_j| < r_j

with r_j the distance from y_j to its k-th neighbour among the data, k = 5. For samples of the data's own law density
is 1 on average. Coverage of as many samples as data is about 1 - 2^-k = 0.97, and of n samples against m of the data,
each neighbourhood of which holds k / m of the law on average, about 1 - (1 + n / m)^-k: less for fewer samples.
"""

from typing import Any

from bench.errors import NotApplicable
from bench.metrics.distances import blocks
from bench.metrics.metric import Facts, register_metric

NEIGHBOURS = 5
DENSITY = (
    "Mean number of the data's neighbourhoods that a sample lies in, over k: 1 on average for a perfect model, more if "
    "samples crowd where the data is dense, which is no better."
)
COVERAGE = (
    "Share of the data whose neighbourhood has a sample in it: of a perfect model 0.97 for as many samples as data, "
    "and less for fewer."
)
FACTS = {
    "density": Facts("Density", meaning=DENSITY, place=34),
    "coverage": Facts("Coverage", "", "higher", meaning=COVERAGE, place=35),
}
SETTINGS = {"neighbours": NEIGHBOURS}


@register_metric(
    "density_coverage",
    facts=FACTS,
    needs_of_images="features",
    in_curve=True,
    in_sweep=True,
    settings=lambda *_: SETTINGS,
    limit=10_000,
    of_kept=True,
)
def density_coverage(samples: Any, reference: Any, *_: Any) -> tuple[tuple[float, None], ...]:
    """Density and coverage by neighbours, of points or of the features of images.

    Points are (n, D) and (m, D). NotApplicable if there are no more than k of the data.
    """
    import torch

    x, y = (values if isinstance(values, torch.Tensor) else values.kept for values in (samples, reference))
    if len(y) <= NEIGHBOURS:
        raise NotApplicable(f"{len(y)} data points have no {NEIGHBOURS} neighbours each")
    radius = torch.cat([found.topk(NEIGHBOURS + 1, largest=False).values[:, -1] for found in blocks(y, y)])
    count, covered = 0, torch.zeros_like(radius, dtype=torch.bool)
    for found in blocks(x, y):
        within = found < radius
        count += int(within.sum())
        covered |= within.any(0)
    return (count / (NEIGHBOURS * len(x)), None), (float(covered.double().mean()), None)
