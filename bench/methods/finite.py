"""Values that are not finite (NaN, +-inf) are no measurement: whatever takes samples or data asks here first.

A sort, a maximum, a clamp or a cast to pixels makes a good number out of NaN in silence: NaN becomes pixel 0, and the
transport of costs that are NaN costs 0. Integers are finite.
"""

import torch
from torch import Tensor

from bench.errors import Diverged


class NotFinite(Diverged):
    """Values that a measurement needs are not finite; the message counts them."""

    kind = ""


def lost(x: Tensor) -> int:
    """How many of the rows of x (B, ...) hold a value that is not finite."""
    finite = torch.isfinite(x)
    return len(x) - int((finite.flatten(1).all(1) if x.ndim > 1 else finite).sum())


def complaint(count: int, n: int, what: str = "samples") -> str | None:
    """ "3 of 300 samples are not finite", or None where none is lost."""
    return f"{count} of {n} {what} are not finite" if count else None


def all_finite(x: Tensor, what: str = "samples") -> Tensor:
    """x (B, ...) itself; NotFinite if a row of it is not finite."""
    if text := complaint(lost(x), len(x), what):
        raise NotFinite(text)
    return x
