"""Where curves meet a level, what they are at a cost, and what the same error costs two methods.

Between two points (x_a, y_a) and (x_b, y_b) with y_a > goal >= y_b a curve is taken to meet its goal at

    x = x_a (x_b / x_a)^((y_a - goal) / (y_a - y_b)),

and at a cost x it is taken to be on the same line.

Two curves of errors over evaluations are compared at the errors e that both pass, by linear interpolation of
logarithms:

    ratio = exp mean_e [log NFE(e) - log NFE_reference(e)].
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LEVELS = 33


def crossing(x: Sequence[float], values: Sequence[float], goal: float) -> float:
    """The x at which a curve first falls to `goal`; infinity if it never does."""
    k = next((k for k, value in enumerate(values) if value <= goal), None)
    if not k:
        return math.inf if k is None else x[0]
    part = (values[k - 1] - goal) / (values[k - 1] - values[k])
    return float(x[k - 1] * (x[k] / x[k - 1]) ** part)


def value_at(x: Sequence[float], values: Sequence[float], at: float) -> float:
    """The value of a curve (x rising) at a cost; NaN outside its points and beside one that is NaN."""
    if not x[0] <= at <= x[-1]:
        return math.nan
    k = next(k for k, place in enumerate(x) if place >= at)
    if x[k] == at:
        return values[k]
    part = math.log(at / x[k - 1]) / math.log(x[k] / x[k - 1])
    return values[k - 1] + (values[k] - values[k - 1]) * part


def nfe_ratio(line: tuple[Array, Array], reference: tuple[Array, Array]) -> float:
    """How many evaluations a curve (NFE rising, errors) needs in units of another's; NaN if no error is shared."""
    (nfe, errors), (nfe0, errors0) = ((x, np.minimum.accumulate(y)) for x, y in (line, reference))
    low, high = np.log(max(errors.min(), errors0.min())), np.log(min(errors.max(), errors0.max()))
    if low > high:
        return math.nan
    at = np.linspace(low, high, LEVELS)
    needed, needed0 = (np.interp(at, np.log(y[::-1]), np.log(x[::-1])) for x, y in ((nfe, errors), (nfe0, errors0)))
    return float(np.exp(np.mean(needed - needed0)))
