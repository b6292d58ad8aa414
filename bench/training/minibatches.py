"""The training data as it reaches a step: piece c of minibatch i of a phase, drawn uniformly with replacement.

With `training.epochs` minibatch i is the (i mod n)-th part of epoch i div n, an order of all samples that depends on
(seed, phase, epoch) alone; n whole minibatches fit into the samples, and those that are left over go to none.

Which images, and which of them are mirrored, depends on (seed, phase, i, c) alone: the same on any device, for any
number of ranks, and after a restart. A set that fits into a quarter of the free memory of a GPU lives there; a larger
one is read ahead from its memory map by a few threads and copied through pinned memory while the GPU works on the step
before.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.training import ranks
from bench.training.seeds import generator, number

SHARE = 0.25  # of the free memory that a resident set may take
AHEAD, READERS = 6, 4

Piece = tuple[int, int, int]  # step, phase, number of the micro-batch


class Samples(NamedTuple):
    """Stored values (micro-batch, ...) and the rows of the training split; labels and what is given, if there are."""

    values: Tensor
    rows: Tensor
    labels: Tensor | None
    given: Tensor | None


class Minibatches:
    """Pieces of minibatches on a device, of every phase its own.

    Attributes:
        epoch: minibatches of one, 0 for draws with replacement.
        waited: seconds that `take` has waited for data to be read.
    """

    def __init__(self, dataset: Dataset, settings: Training, seed: int, device: str, phases: int = 1) -> None:
        self.data, self.seed, self.device = dataset.train, seed, torch.device(device)
        self.labels, self.given = (
            values if values is None else values.to(self.device)
            for values in (dataset.train_labels, dataset.train_given)
        )
        self.function = dataset.given
        self.size, self.pieces, self.phases = settings.batch // settings.pieces, settings.pieces, phases
        self.flip = settings.flip
        self.epoch = len(self.data) // settings.batch if settings.epochs else 0
        if settings.epochs and not self.epoch:
            raise UsageError(f"training.epochs = true: a batch of {settings.batch}, and {len(self.data)} samples")
        if self.flip and not dataset.is_image:
            raise UsageError(f"training.flip = true: {dataset.name} holds points; only images are mirrored")
        self.waited = 0.0
        self.resident = self.device.type == "cpu" or fits(self.data, self.device)
        if self.resident:
            self.data = self.data.to(self.device)
        self._rng = torch.Generator()
        self._kept: tuple[tuple[int, int], Tensor] = ((-1, 0), torch.empty(0))
        self._ahead: deque[tuple[Piece, Future[tuple[Tensor, Tensor]]]] = deque()
        self._order: Iterator[Piece] = iter(())
        self._readers = None if self.resident else ThreadPoolExecutor(READERS, "minibatches")

    def index(self, piece: Piece, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Which training samples the piece holds, and which of them are mirrored (None without `flip`)."""
        step, phase, part = piece
        stream = f"minibatch-{phase}" if phase else "minibatch"
        rng.manual_seed(number(self.seed, stream, step * self.pieces + part))
        if self.epoch:
            begin = (step % self.epoch * self.pieces + part) * self.size
            index = self.order(phase, step // self.epoch)[begin : begin + self.size]
        else:
            index = torch.randint(len(self.data), (self.size,), generator=rng)
        return index, torch.rand(self.size, generator=rng) < 0.5 if self.flip else None

    def order(self, phase: int, epoch: int) -> Tensor:
        """The order of all samples in an epoch; the last one that was asked for is kept."""
        kept = self._kept
        if kept[0] != (phase, epoch):
            order = torch.randperm(len(self.data), generator=generator(self.seed, f"epoch-{phase}", epoch))
            self._kept = kept = (phase, epoch), order
        return kept[1]

    def take(self, step: int, part: int, phase: int = 0) -> Samples:
        """The piece on the device."""
        piece = step, phase, part
        if self.resident:
            index, mirrored = self.index(piece, self._rng)
            index = index.to(self.device)
            values = self.data.index_select(0, index)  # twice as fast as [index]
            return self._rows(_mirror(values, mirrored), index)
        if not self._ahead or self._ahead[0][0] != piece:
            self._begin_at(piece)
        begun = time.perf_counter()
        values, index = self._ahead.popleft()[1].result()
        self.waited += time.perf_counter() - begun
        self._read_ahead()
        return self._rows(values.to(self.device, non_blocking=True), index.to(self.device, non_blocking=True))

    def _rows(self, values: Tensor, index: Tensor) -> Samples:
        labels, given = (None if beside is None else beside[index] for beside in (self.labels, self.given))
        given = self.function(values) if self.function else given
        return Samples(values, index, labels, given)

    def _begin_at(self, piece: Piece) -> None:
        """Read on from a piece that nobody has read ahead: the first one, or the first after a restart."""
        parts = ranks.mine(range(self.pieces))
        order = ((i, p, c) for i in itertools.count(piece[0]) for p in range(self.phases) for c in parts)
        self._order = itertools.dropwhile(lambda key: key != piece, order)
        self._ahead.clear()
        for _ in range(AHEAD):
            self._read_ahead()

    def _read_ahead(self) -> None:
        assert self._readers
        key = next(self._order)
        self._ahead.append((key, self._readers.submit(self._read, key)))

    def _read(self, piece: Piece) -> tuple[Tensor, Tensor]:
        index, mirrored = self.index(piece, torch.Generator())
        values = _mirror(self.data[index], mirrored)
        return (values.pin_memory(), index.pin_memory()) if self.device.type == "cuda" else (values, index)


def fits(data: Tensor, device: torch.device) -> bool:
    """Whether a set may live on the GPU."""
    free, _ = torch.cuda.mem_get_info(device)
    return data.numel() * data.element_size() <= SHARE * free


def _mirror(images: Tensor, which: Tensor | None) -> Tensor:
    if which is None:
        return images
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(-1), images)
