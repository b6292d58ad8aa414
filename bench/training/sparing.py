"""What a dry pass spares: the time that many evaluations of a network would take, and the random streams."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


@contextmanager
def few(module: nn.Module, calls: int) -> Iterator[list[nn.Module]]:
    """The module, or each part of a ModuleDict, is evaluated `calls` times at most, and then answers zeros.

    They are as many as x has rows, each of the shape of its last answer. Yields the parts that were spared so.
    """
    parts = dict.fromkeys(module.values() if isinstance(module, nn.ModuleDict) else [module])
    forwards = {part: part.forward for part in parts}
    spared: list[nn.Module] = []

    def sparing(part: nn.Module) -> Callable[..., Any]:
        answers: list[Any] = []

        def forward(*inputs: Tensor, **named: Tensor | None) -> Any:
            if len(answers) < calls:
                answers.append(forwards[part](*inputs, **named))
                return answers[-1]
            spared.append(part)
            return tree_map(lambda tensor: tensor.new_zeros(len(inputs[-1]), *tensor.shape[1:]), answers[-1])

        return forward

    for part in parts:
        part.forward = sparing(part)
    try:
        yield spared
    finally:
        for part, forward in forwards.items():
            part.forward = forward


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
