"""What a dry pass spares: the time that many evaluations of a network would take, and the random streams."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import nn


class Enough(BaseException):
    """A network was evaluated often enough; no method takes it for a failure."""


@contextmanager
def few(module: nn.Module, calls: int) -> Iterator[None]:
    """What is done within ends when the module, or a part of a ModuleDict, has been evaluated `calls` times."""
    parts = list(module.values()) if isinstance(module, nn.ModuleDict) else [module]
    done = dict.fromkeys(parts, 0)

    def count(part: nn.Module, _: Any) -> None:
        done[part] += 1
        if done[part] > calls:
            raise Enough

    hooks = [part.register_forward_pre_hook(count) for part in parts]
    with suppress(Enough):
        yield
    for hook in hooks:
        hook.remove()


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
