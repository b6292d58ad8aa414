"""What a dry pass leaves as it was: the random streams, and the time that many evaluations of a network would take."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


class Sparing(nn.Module):
    """A network that is evaluated so many times and then answers zeros, so that a thousand steps cost little."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.module, self.calls = module, calls
        self.spared = False
        self.answer: Any = None

    def forward(self, *inputs: Tensor, **named: Tensor | None) -> Any:
        if self.calls:
            self.calls -= 1
            self.answer = self.module(*inputs, **named)
            return self.answer
        self.spared = True
        return tree_map(lambda tensor: tensor.new_zeros(len(inputs[-1]), *tensor.shape[1:]), self.answer)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def sparing(module: nn.Module, calls: int) -> nn.Module:
    """The module, or each part of a ModuleDict, evaluated `calls` times at most."""
    if isinstance(module, nn.ModuleDict):
        return nn.ModuleDict({name: sparing(part, calls) for name, part in module.items()})
    return Sparing(module, calls)


def spared(module: nn.Module) -> bool:
    """Whether one of its evaluations was spared."""
    return any(part.spared for part in module.modules() if isinstance(part, Sparing))


@contextmanager
def streams_kept(device: str) -> Iterator[None]:
    """Whatever is drawn within, the random numbers after it are those that would have come."""
    python, numbers = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if device.startswith("cuda") else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
