"""Evaluating a trained network by compiled code, where that is no gradient's and comes often: full batches of samples.

Code is compiled for one shape, since code for any shape gains nothing on the CPU. A shape is met first while a full
batch is drawn, and is evaluated twice then: the first time is not the batch's. Any other call (a smaller last batch, a
divergence) goes through the module itself, and so does what cannot be compiled. Values are equal to rounding.
"""

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import one_line

log = logging.getLogger(__name__)
FORMS = 2**20  # of one source in a process: as many as are asked for


class Compilation:
    """The compiled forms of a module and its parts for batches of `batch` samples; 0 compiles nothing.

    Attributes:
        seconds: spent on compiling, and on the calls that it was done by.
    """

    def __init__(self, batch: int = 0) -> None:
        self.batch, self.seconds = batch, 0.0
        self._is_full = False
        self._forms: dict[Hashable, Callable[..., Tensor]] = {}

    def of(self, module: nn.Module) -> Callable[..., Tensor]:
        """The module as it is called."""
        return partial(self._call, module) if self.batch else module

    @contextmanager
    def drawing(self, n: int) -> Iterator[None]:
        """Around n samples that are drawn together."""
        self._is_full = n == self.batch
        try:
            yield
        finally:
            self._is_full = False

    def _call(self, module: nn.Module, *inputs: Tensor, **named: Any) -> Tensor:
        if torch.is_grad_enabled():
            found: Tensor = module(*inputs, **named)
            return found
        kind = (module, *map(_kind, inputs), *((name, _kind(value)) for name, value in named.items()))
        if kind not in self._forms and self._is_full:
            begun = time.perf_counter()
            self._forms[kind] = _compiled(module, inputs, named)
            self.seconds += time.perf_counter() - begun
        return self._forms.get(kind, module)(*inputs, **named)


def _kind(value: Any) -> Hashable:
    return (value.shape, value.dtype) if isinstance(value, Tensor) else value


def _compiled(module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> Callable[..., Tensor]:
    """The module compiled for such a call, or itself if it cannot be."""
    from torch._dynamo import config

    # Counted by the source of a forward: further ones, and trainings of it, would go on uncompiled without a word.
    config.recompile_limit = config.accumulated_recompile_limit = FORMS
    form: Callable[..., Tensor] = torch.compile(module, dynamic=False)
    try:
        form(*inputs, **named)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        log.warning(
            "%s is evaluated as it is: it cannot be compiled (%s)", type(module).__name__, one_line(error)[:200]
        )
        return module
    return form
