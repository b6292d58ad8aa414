"""The derivative of a network along a direction, by forward differentiation (a Jacobian-vector product).

f(s) -> f,  d/de f(s + e d) at e = 0,     in one pass that costs about two
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel


def along(f: Callable[..., Tensor], inputs: Sequence[Tensor], direction: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """f(*inputs) and its derivative along a direction, both of the shape of f, with gradients to the parameters of f.

    A network in f is counted once per row, runs in full precision and is not compiled.
    """
    # Fused attention has no forward derivative, and autocast gives an input and its tangent two types.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast(inputs[0].device.type, enabled=False):
        found: tuple[Tensor, ...] = jvp(f, tuple(inputs), tuple(direction))
    return found[0], found[1]
