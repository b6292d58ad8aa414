"""How much longer the paths from noise to samples are than their chords, whatever the speed along them.

tortuosity = E L / E |x_1 - x_0| - 1,    L = int |v(t, x_t)| dt the length of a path

It is 0 for straight lines at any speed, pi/2 - 1 for half circles, and has no unit. It is a ratio of means: a chord may
be as good as 0, and the mean of ratios has no finite variance in the plane then. L is that of the polygon through the
states, which is no shorter than the chord however few they are, so the measure is never negative.
"""

from typing import TYPE_CHECKING

from bench.metrics.metric import Facts, declare

if TYPE_CHECKING:
    from torch import Tensor

TORTUOSITY = (
    "Mean length of the paths from noise to samples over the mean distance between their ends, less 1: 0 for straight "
    "lines, at whatever speed."
)

declare("tortuosity", tortuosity=Facts("Tortuosity", "", "lower", "geometry", TORTUOSITY, place=43))


def tortuosity(states: "Tensor") -> tuple[float, float]:
    """It and its standard error by the delta method, sd(L - (E L / E c) c) / (E c sqrt(n)); states are (T, n, D).

    0 if nothing moves; NotFinite if paths end where they begin.
    """
    import torch

    from bench.methods.finite import all_finite

    length = (states[1:] - states[:-1]).norm(dim=2).sum(0)
    chord = (states[-1] - states[0]).norm(dim=1)
    if not length.any():
        return 0.0, 0.0
    ratio = length.mean() / chord.mean()
    all_finite(torch.stack([ratio]), "ratios of length to chord")
    error = (length - ratio * chord).std() / (chord.mean() * len(chord) ** 0.5)
    return float(ratio) - 1, float(error)
