"""Ranks: the processes that share one run, started by torchrun or by Slurm, each with a GPU of its own.

Work is dealt out by index, so that item i is the same whatever the number of ranks, and merged by sums or by
gathering. None of it happens inside an ODE solve: an adaptive solver takes another number of steps on every rank,
and a collective there would wait for ever. Without `joined` there is one rank, and everything here costs nothing.
"""

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from bench.errors import UsageError

T = TypeVar("T")
PATIENCE = datetime.timedelta(hours=2)  # the longest that one rank may work alone, on references and records


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the process group that the environment describes (RANK, WORLD_SIZE, MASTER_ADDR, ...), if it is one.

    Raises:
        UsageError: more ranks on this machine than it has GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or dist.is_initialized():
        yield
        return
    cuda = device.startswith("cuda")
    if cuda:
        place, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= there:
            least = f"{place + 1} ranks on this machine, which has {there} GPUs"
            raise UsageError(f"--gpus: {least}; allowed here: at most {there}")
        torch.cuda.set_device(place)
    # Small agreements travel between CPUs, so that they never wait for a GPU's queue.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 to count() - 1."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Number of ranks that share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this rank is the one that writes."""
    return rank() == 0


def mine(items: Sequence[T]) -> Sequence[T]:
    """This rank's share of the items: every count()-th."""
    return items[rank() :: count()]


def total(tensor: Tensor) -> Tensor:
    """The sum over ranks, in place."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def agreed(*values: float) -> list[float]:
    """The largest of each value over ranks, which all ranks then go by."""
    if count() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return shared.tolist()


def gathered(value: T) -> list[T]:
    """Every rank's value, in the order of ranks, on every rank."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait for all ranks."""
    agreed(0.0)
