"""What the harness does with any network: complete it before its optimiser is made, and copy it for evaluation."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bench.errors import UsageError, one_line


def materialise(module: nn.Module, name: str, example: Callable[[], tuple[list[Tensor], dict[str, Tensor]]]) -> None:
    """Give lazy layers (nn.LazyLinear) their shapes by a forward pass of an example; without any nothing is done.

    UsageError if the pass fails, or leaves a layer without a shape.
    """
    if not _lazy(module):
        return
    inputs, named = example()
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(*inputs, **named)
    except Exception as error:
        raise UsageError(f"network {name}: the pass that completes its lazy layers: {one_line(error)}") from error
    module.train(training)
    if left := _lazy(module):
        raise UsageError(f"network {name}: the lazy parameter {left[0]} is in no forward pass")


def _lazy(module: nn.Module) -> list[str]:
    named = [*module.named_parameters(), *module.named_buffers()]
    return [name for name, tensor in named if nn.parameter.is_lazy(tensor)]


def copied(module: nn.Module) -> nn.Module:
    """A copy that shares no tensor with the module.

    Old-style weight and spectral norm leave what they computed on a module as a plain tensor with a graph, which
    deepcopy refuses; it is copied without its graph and computed anew by the next forward pass. UsageError if something
    else cannot be copied.
    """
    held = (leaf for part in module.modules() for leaf in tree_leaves(vars(part)))
    computed = {id(leaf): leaf.detach().clone() for leaf in held if isinstance(leaf, Tensor) and not leaf.is_leaf}
    try:
        return copy.deepcopy(module, dict(computed))
    except Exception as error:
        raise UsageError(f"a network is copied for evaluation, and this one cannot be: {one_line(error)}") from error
