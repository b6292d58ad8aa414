"""The energy distance (Szekely & Rizzo 2013), of points and of images as vectors of pixels.

D^2 = 2 E |X - Y| - E |X - X'| - E |Y - Y'|,  zero only if both laws are one.
"""

from torch import cdist

from bench import register_metric


@register_metric(
    "energy_distance", title="Energy distance", direction="lower", in_curve=True, in_sweep=True, limit="w2_n"
)
def energy_distance(x, reference, dataset, rng):
    """The square root of D^2, in the data's own units; 0 where rounding leaves D^2 below it."""
    x, y = (values.flatten(1).double() for values in (x, reference))
    squared = float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())
    return max(squared, 0.0) ** 0.5
