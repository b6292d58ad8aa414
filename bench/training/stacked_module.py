"""Networks of one shape, each with weights of its own, as one module whose rows are all their rows.

    y[s B : (s + 1) B] = x[s B : (s + 1) B] W_s^T + b_s,    s = 0 ... S - 1,

by one batched product a layer: S small products are one operator. Weights are stacked by torch.func.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from bench.errors import Unstackable


class StackedLinear(nn.Module):
    """S linear layers side by side: x (S B, ..., fan_in) -> (S B, ..., fan_out), the rows of a layer together."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)  # (S, fan_out, fan_in)
        self.bias = None if bias is None else nn.Parameter(bias)  # (S, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        rows, weight = x.reshape(len(self.weight), -1, x.shape[-1]), self.weight.transpose(1, 2)
        y = torch.bmm(rows, weight) if self.bias is None else torch.baddbmm(self.bias[:, None], rows, weight)
        return y.reshape(*x.shape[:-1], -1)


def stacked(modules: Sequence[nn.Module]) -> nn.Module:
    """One module of several that differ in their weights alone, by copies of these: x (S B, ...) -> (S B, ...).

    Its parameters have the names and the order of theirs, with an axis for S in front.

    Raises:
        Unstackable: a parameter or buffer is not that of an nn.Linear, or the modules differ in more.
    """
    first, *others = modules
    if not any(True for _ in first.parameters()):
        raise Unstackable("its network has no parameter")
    for name, part in first.named_modules():
        own = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        if own and type(part) is not nn.Linear:
            raise Unstackable(f"{name or 'its network'} is a {type(part).__name__} with {own[0][0]} of its own")
    names = [name for name, _ in first.named_parameters()]
    if any([name for name, _ in other.named_parameters()] != names for other in others):
        raise Unstackable("its networks differ in more than their weights")
    try:
        weights, _ = stack_module_state(list(modules))
    except (ValueError, RuntimeError) as error:
        raise Unstackable(f"its networks cannot be stacked: {error}") from error
    found = copy.deepcopy(first)
    for name, layer in list(found.named_modules()):
        if type(layer) is not nn.Linear:
            continue
        prefix = f"{name}." if name else ""
        if f"{prefix}weight" not in weights or layer._forward_hooks or layer._forward_pre_hooks:
            raise Unstackable(
                f"{name or 'its network'} is a linear layer with more than a weight and a bias of its own"
            )
        bias = None if layer.bias is None else weights[f"{prefix}bias"].detach()
        made = StackedLinear(weights[f"{prefix}weight"].detach(), bias).requires_grad_(layer.weight.requires_grad)
        if not name:
            return made
        parent, _, own_name = name.rpartition(".")
        setattr(found.get_submodule(parent), own_name, made)
    if any(type(part) is nn.Linear for part in found.modules()) or len(list(found.parameters())) != len(names):
        raise Unstackable("its layers share weights")
    return found
