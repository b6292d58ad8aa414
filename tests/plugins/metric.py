"""The share of samples near the data: as close to a held-out one as half of the held-out ones are to another.

1/2 for samples of the data's own law, 1 for copies of the data, 0 far from it; images are vectors of pixels.
"""

from math import inf

from torch import cdist

from bench import register_metric


@register_metric("near_data", title="Near data", direction="higher", in_curve=True, in_sweep=True, limit=2000, least=2)
def near_data(samples, reference, dataset, rng):
    """Share within r of a held-out sample, r the median distance from one of these to its nearest other."""
    x, y = (values.flatten(1).double() for values in (samples, reference))
    r = cdist(y, y).fill_diagonal_(inf).amin(1).median()
    return (cdist(x, y).amin(1) <= r).double().mean()
