"""Pieces of minibatches made ready for their loss, in a thread while the network works on the ones before.

All that a loss is given, and what the method finds before it asks the network (Baseline.ahead), hangs on the seed and
on the piece alone. So the thread draws by generators of its own what the training would draw in between, bit for bit.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.methods.baseline import Baseline
from bench.methods.batch import Batch
from bench.training.cores import share

DEPTH = 2  # pieces ready or in work: one more than is needed, so that a slow one can be made up for

Piece = tuple[int, int, int]  # step, phase, number of the micro-batch


class Ready(NamedTuple):
    """What a loss is given of a piece.

    Attributes:
        told: the classes that the network is told, int64 (B,), or None.
        rng: behind the draws that made the batch.
        found: what Baseline.ahead finds and the generator behind its draws; None if the loss asks for it itself.
    """

    batch: Batch
    told: Tensor | None
    rng: torch.Generator
    found: tuple[Any, torch.Generator] | None = None


class Ahead:
    """Makes pieces ready in their order, by `make` in a thread of its own, until it is closed.

    Args:
        order: of a step, the pairs of phase and micro-batch that this rank works on.
    """

    def __init__(self, make: Callable[[Piece], Ready], order: list[tuple[int, int]], device: str) -> None:
        self._make, self._order = make, order
        self._next: Iterator[Piece] = iter(())
        self._ready: deque[tuple[Piece, Future[Ready]]] = deque()
        self._thread = ThreadPoolExecutor(1, "ahead", initializer=_begin, initargs=(device,))

    def take(self, piece: Piece) -> Ready:
        """A piece, once it is ready; whatever making it raised."""
        if not self._ready or self._ready[0][0] != piece:
            self._begin_at(piece)
        ready = self._ready.popleft()[1]
        self._submit()
        return ready.result()

    def _begin_at(self, piece: Piece) -> None:
        """Go on from a piece that nobody has thought of: the first one, or the first after a restart."""
        self._drop()
        order = ((step, *part) for step in itertools.count(piece[0]) for part in self._order)
        self._next = itertools.dropwhile(lambda key: key != piece, order)
        for _ in range(DEPTH):
            self._submit()

    def _submit(self) -> None:
        key = next(self._next)
        self._ready.append((key, self._thread.submit(self._make, key)))

    def _drop(self) -> None:
        for _, future in self._ready:
            future.cancel()
        self._ready.clear()

    def close(self) -> None:
        """End the thread, after the piece that it works on."""
        self._thread.shutdown(cancel_futures=True)


def pays(baseline: Baseline, device: str) -> bool:
    """Whether the method finds something before it asks the network, and a core has nothing else to do.

    On the CPU, each thread of the network has a core already.
    """
    of_network = 1 if device.startswith("cuda") else torch.get_num_threads()
    return baseline.looks_ahead and of_network < share()


def _begin(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
