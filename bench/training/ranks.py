"""Ranks: the processes that share one run, started by torchrun or by Slurm, each with a GPU of its own.

Work is dealt out by index, so that item i is the same whatever the number of ranks, and merged by sums or by
gathering. None of it happens inside an ODE solve: an adaptive solver takes another number of steps on every rank,
and a collective there would wait for ever. Without `joined` there is one rank, and everything here costs nothing.
"""

import datetime
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from bench.errors import UsageError
from bench.evaluation.lost import Lost, cause, costs_a_part

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
PATIENCE = datetime.timedelta(hours=24)  # a lost rank is noticed by its closed connection, a slow one is not lost
MEETING = datetime.timedelta(minutes=15)  # between the starts of the first rank and of the last

_rank, _count = 0, 1


@contextmanager
def joined(device: str, ranks: int) -> Iterator[None]:
    """Join the group of `ranks` processes that the environment describes (RANK, WORLD_SIZE, MASTER_ADDR, ...).

    A run of one rank has none, whatever the environment says: it may be that of another job.

    After an exception the group is left as it is: the others may be waiting in it, and the process ends anyway.

    Raises:
        UsageError: more ranks on this machine than it has GPUs.
    """
    global _rank, _count
    if ranks == 1 or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    cuda = device.startswith("cuda")
    if cuda:
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise UsageError(f"--gpus: rank {place} of this machine has no GPU; there are {gpus}")
        torch.cuda.set_device(place)
    store, own, size = next(rendezvous("env://", timeout=MEETING))
    # Small agreements travel between CPUs, so that they never wait for a GPU's queue.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=own, world_size=size, timeout=PATIENCE)
    _rank, _count = distributed.get_rank(), distributed.get_world_size()
    yield
    barrier()  # the end of a process may end the others, and one may be writing still
    distributed.destroy_process_group()
    _rank, _count = 0, 1


def end(code: int) -> NoReturn:
    """End this process, whose group is left: torch's threads now and then abort one that ends in the ordinary way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def rank() -> int:
    """This process's number, 0 to count() - 1."""
    return _rank


def count() -> int:
    """Number of ranks that share the run."""
    return _count


def is_main() -> bool:
    """Whether this rank is the one that writes."""
    return _rank == 0


def mine(items: Sequence[T]) -> Sequence[T]:
    """This rank's share of the items: every count()-th."""
    return items[_rank::_count]


def total(tensor: "Tensor") -> "Tensor":
    """The sum over ranks, in place."""
    if _count > 1:
        from torch import distributed

        distributed.all_reduce(tensor)
    return tensor


def agreed(*values: float) -> list[float]:
    """The largest of each value over ranks, which all ranks then go by."""
    if _count == 1:
        return list(values)
    import torch
    from torch import distributed

    shared = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return shared.tolist()


def tallied(value: float, part: int) -> tuple[float, int]:
    """The largest value over ranks and the sum of their parts, by one reduction."""
    if _count == 1:
        return value, part
    largest, *parts = agreed(value, *(part if own == _rank else 0 for own in range(_count)))
    return largest, int(sum(parts))


def gathered(value: T) -> list[T]:
    """Every rank's value, in the order of ranks, on every rank."""
    if _count == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * _count
    distributed.all_gather_object(values, value)
    return values


@contextmanager
def failing_together() -> Iterator[None]:
    """What fails within on one rank fails on all, so that none waits for its results; no rank may wait within.

    Raises:
        Lost: on several ranks, here or on another one; with one rank the error itself.
    """
    error = None
    try:
        yield
    except Exception as caught:
        if not costs_a_part(caught):
            raise
        error = caught
    together(error)


def together(error: Exception | None) -> None:
    """Raise on all ranks what one of them has met; all must ask. See `failing_together`."""
    if _count == 1:
        if error:
            raise error
    elif any(agreed(error is not None)):
        raise Lost(*next(met for met in gathered(error and cause(error)) if met)) from error


def barrier() -> None:
    """Wait for all ranks."""
    agreed(0.0)
