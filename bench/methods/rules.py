"""Rules of the contract: one that does not hold is named in one line, by a UsageError."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from bench.errors import Diverged, NotApplicable, UsageError, one_line


def require(holds: bool, broken: str) -> None:
    """UsageError with what is broken, unless the rule holds."""
    if not holds:
        raise UsageError(broken)


@contextmanager
def rule(what: str) -> Iterator[None]:
    """Whatever else goes wrong within is told in one line, after `what` was tried."""
    try:
        yield
    except (UsageError, MemoryError, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UsageError(f"{what}: {one_line(error)[:300]}") from error


@contextmanager
def tried(what: str) -> Iterator[None]:
    """The same, but what diverges or is not applicable breaks no rule, and ends what is done within."""
    with rule(what), suppress(Diverged, NotApplicable):
        yield


def shown(values: object) -> str:
    """ "float32 (3, 2)": what a tensor is, or the type of anything else."""
    if not isinstance(values, Tensor):
        return type(values).__name__
    place = f" on {values.device}" if values.device.type != "cpu" else ""
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}{place}"
