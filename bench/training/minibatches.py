"""The training data as it reaches a step: piece c of minibatch i, drawn uniformly with replacement.

Which images, and which of them are mirrored, depends on (seed, i, c) alone: the same on any device, for any number of
ranks, and after a restart. A set that fits into a quarter of the free memory of a GPU lives there; a larger one is read
ahead from its memory map by a few threads and copied through pinned memory while the GPU works on the step before.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.training import ranks
from bench.training.seeds import number

SHARE = 0.25  # of the free memory that a resident set may take
AHEAD, READERS = 6, 4

Piece = tuple[int, int]  # step, number of the micro-batch


class Minibatches:
    """Pieces of minibatches on a device.

    Attributes:
        waited: seconds that `take` has waited for data to be read.
    """

    def __init__(self, dataset: Dataset, settings: Training, seed: int, device: str) -> None:
        self.data, self.seed, self.device = dataset.train, seed, torch.device(device)
        self.size, self.pieces = settings.batch // settings.pieces, settings.pieces
        self.flip = settings.flip
        if self.flip and not dataset.is_image:
            raise UsageError(f"training.flip = true: {dataset.name} holds points; only images are mirrored")
        self.waited = 0.0
        self.resident = self.device.type == "cpu" or fits(self.data, self.device)
        if self.resident:
            self.data = self.data.to(self.device)
        self._rng = torch.Generator()
        self._ahead: deque[tuple[Piece, Future[Tensor]]] = deque()
        self._order: Iterator[Piece] = iter(())
        self._readers = None if self.resident else ThreadPoolExecutor(READERS, "minibatches")

    def index(self, step: int, piece: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Which training samples the piece holds, and which of them are mirrored (None without `flip`)."""
        rng.manual_seed(number(self.seed, "minibatch", step * self.pieces + piece))
        index = torch.randint(len(self.data), (self.size,), generator=rng)
        return index, torch.rand(self.size, generator=rng) < 0.5 if self.flip else None

    def take(self, step: int, piece: int) -> Tensor:
        """The piece's stored values (micro-batch, ...) on the device."""
        if self.resident:
            index, mirrored = self.index(step, piece, self._rng)
            return _mirror(self.data[index.to(self.device)], mirrored)
        if not self._ahead or self._ahead[0][0] != (step, piece):
            self._begin_at(step, piece)
        begun = time.perf_counter()
        values = self._ahead.popleft()[1].result()
        self.waited += time.perf_counter() - begun
        self._read_ahead()
        return values.to(self.device, non_blocking=True)

    def _begin_at(self, step: int, piece: int) -> None:
        """Read on from a piece that nobody has read ahead: the first one, or the first after a restart."""
        mine = ranks.mine(range(self.pieces))
        order = ((i, c) for i in itertools.count(step) for c in mine)
        self._order = itertools.dropwhile(lambda key: key != (step, piece), order)
        self._ahead.clear()
        for _ in range(AHEAD):
            self._read_ahead()

    def _read_ahead(self) -> None:
        assert self._readers
        key = next(self._order)
        self._ahead.append((key, self._readers.submit(self._read, *key)))

    def _read(self, step: int, piece: int) -> Tensor:
        index, mirrored = self.index(step, piece, torch.Generator())
        values = _mirror(self.data[index], mirrored)
        return values.pin_memory() if self.device.type == "cuda" else values


def fits(data: Tensor, device: torch.device) -> bool:
    """Whether a set may live on the GPU."""
    free, _ = torch.cuda.mem_get_info(device)
    return data.numel() * data.element_size() <= SHARE * free


def _mirror(images: Tensor, which: Tensor | None) -> Tensor:
    if which is None:
        return images
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(-1), images)
