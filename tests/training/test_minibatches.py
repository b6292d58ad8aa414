"""Minibatches: piece c of step i is the same wherever it is drawn, and is read ahead where the set does not fit."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as finished
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.networks.mlp import mlp
from bench.training import minibatches, ranks
from bench.training.minibatches import AHEAD, READERS, Minibatches
from bench.training.seeds import generator
from bench.training.trainer import Trainer

MODES = pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])


def drawn_from(
    dataset: Dataset, streamed: bool = False, seed: int = 0, phases: int = 1, **settings: Any
) -> Minibatches:
    """Batches of 12 in 4 pieces on the CPU; `streamed` as where the set does not fit."""
    asked = {"steps": 9, "batch": 12, "micro_batch": 3} | settings
    found = Minibatches(dataset, Training(**asked), seed, "cpu", phases)
    assert found.resident
    if streamed:
        found.resident, found._readers = False, ThreadPoolExecutor(READERS)
    return found


def pieces(found: Minibatches, steps: Sequence[int]) -> dict[tuple[int, int], Tensor]:
    """What this rank takes in those steps."""
    return {(i, c): found.take(i, c).values for i in steps for c in ranks.mine(range(found.pieces))}


def equal(a: dict[tuple[int, int], Tensor], b: dict[tuple[int, int], Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@MODES
def test_a_piece_belongs_to_seed_step_and_number_alone(images: Dataset, streamed: bool) -> None:
    found = drawn_from(images, streamed, seed=5)
    for step, piece in ((7, 2), (0, 0), (7, 2), (1, 3)):
        index = torch.randint(64, (3,), generator=generator(5, "minibatch", 4 * step + piece))
        assert torch.equal(found.take(step, piece).values, images.train[index])


def test_no_two_pieces_are_alike(points: Dataset) -> None:
    """60 pieces of 3 out of 512 points: two of them agree with a probability of 1 in 10^4."""
    taken = [x for seed in (0, 1, 2) for x in pieces(drawn_from(points, seed=seed), range(5)).values()]
    assert len({tuple(x.flatten().tolist()) for x in taken}) == 60


@MODES
@pytest.mark.parametrize("count", [2, 4])
def test_ranks_share_the_pieces_of_every_batch(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, streamed: bool, count: int
) -> None:
    alone = pieces(drawn_from(images), range(6))
    together: dict[tuple[int, int], Tensor] = {}
    monkeypatch.setattr(ranks, "_count", count)
    for rank in range(count):
        monkeypatch.setattr(ranks, "_rank", rank)
        share = pieces(drawn_from(images, streamed), range(6))
        assert len(share) == 24 // count and not share.keys() & together.keys()
        together |= share
    assert equal(dict(sorted(together.items())), alone)
    assert sum(len(x) for (step, _), x in together.items() if step == 0) == 12


@pytest.mark.parametrize("flip", [False, True])
def test_streamed_pieces_are_the_resident_ones_also_after_a_restart(images: Dataset, flip: bool) -> None:
    resident = drawn_from(images, flip=flip)
    whole = pieces(resident, range(40))
    streamed = drawn_from(images, streamed=True, flip=flip)
    assert equal(pieces(streamed, range(40)), whole)
    again = drawn_from(images, streamed=True, flip=flip)
    later = range(17, 40)
    assert equal(pieces(again, later), {key: x for key, x in whole.items() if key[0] in later})


def test_every_phase_has_pieces_of_its_own_with_what_lies_beside_them(images: Dataset) -> None:
    """The first those of a training of one phase; streamed as resident, in the order of the steps."""
    labels = torch.arange(64) % 5
    given = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    dataset = dataclasses.replace(images, train_labels=labels, train_given=given)
    order = [(step, c, phase) for step in range(3) for phase in range(2) for c in range(4)]
    taken = []
    for streamed in (False, True):
        found = drawn_from(dataset, streamed, phases=2)
        taken.append([found.take(*piece) for piece in order])
    alone = drawn_from(images)
    for piece, a, b in zip(order, *taken, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert torch.equal(a.values, images.train[a.rows]) and torch.equal(a.labels, labels[a.rows])
        assert torch.equal(a.given, given[a.rows])
        one_phase = alone.take(*piece[:2])
        assert torch.equal(one_phase.rows, a.rows) == (piece[2] == 0) and one_phase.labels is one_phase.given is None


class Slow:
    """A set whose reading takes a while, and which counts its readings."""

    def __init__(self, data: Tensor, seconds: float) -> None:
        self.data, self.seconds = data, seconds
        self.readings: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Tensor) -> Tensor:
        self.readings.append(index)
        time.sleep(self.seconds)
        return self.data[index]


@pytest.mark.slow
def test_reading_ahead_hides_its_time(images: Dataset) -> None:
    found = drawn_from(images, streamed=True)
    slow = Slow(images.train, 0.2)
    found.data = slow  # type: ignore[assignment]
    found.take(0, 0)
    assert found.waited > 0.1  # nobody has read the first ahead
    for step, piece in ((0, 1), (0, 2), (0, 3), (1, 0)):
        finished([reading for _, reading in found._ahead], timeout=60)
        assert len(slow.readings) == 1 + AHEAD + max(0, 4 * step + piece - 1)
        before = found.waited
        found.take(step, piece)
        assert found.waited - before < 0.1
    waited = found.waited
    pieces(found, range(2, 6))  # READERS of 16 pieces at once, and no work in between
    assert found.waited - waited > (16 - AHEAD) * 0.2 / READERS / 2


def test_who_does_not_stream_does_not_wait(images: Dataset) -> None:
    found = drawn_from(images)
    pieces(found, range(5))
    assert found.waited == 0


@MODES
def test_every_second_image_is_mirrored(images: Dataset, streamed: bool) -> None:
    numbered = torch.arange(64, dtype=torch.uint8).reshape(64, 1, 1, 1).expand(64, 1, 2, 3).clone()
    numbered[..., -1] = 255  # the right edge, of an image or of its mirror image
    dataset = dataclasses.replace(images, train=numbered)
    plain = torch.cat(list(pieces(drawn_from(dataset, streamed, batch=300, micro_batch=100), range(10)).values()))
    taken = torch.cat(list(pieces(drawn_from(dataset, streamed, True, batch=300, micro_batch=100), range(1)).values()))
    flipped = drawn_from(dataset, streamed, batch=300, micro_batch=100, flip=True)
    mirrored = torch.cat(list(pieces(flipped, range(10)).values()))
    assert len(taken) == 300 and (plain[..., -1] == 255).all()
    left = mirrored[..., 0] == 255
    which = left.all(dim=(1, 2))
    assert torch.equal(which, left.any(dim=2).any(dim=1))
    assert torch.equal(mirrored, torch.where(which[:, None, None, None], plain.flip(-1), plain))
    assert abs(float(which.double().mean()) - 0.5) < 4 * 0.5 / 3000**0.5


def test_points_are_not_mirrored(points: Dataset) -> None:
    with pytest.raises(UsageError, match=r"^training\.flip = true: pair holds points; only images are mirrored$"):
        drawn_from(points, flip=True)


@MODES
def test_a_set_on_disk_is_mapped_and_not_copied(images: Dataset, tmp_path: Path, streamed: bool) -> None:
    np.save(tmp_path / "train.npy", images.train.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "train.npy", mmap_mode="r+"))
    found = drawn_from(dataclasses.replace(images, train=mapped), streamed, flip=True)
    assert found.data.data_ptr() == mapped.data_ptr()
    assert equal(pieces(found, range(5)), pieces(drawn_from(images, flip=True), range(5)))


@pytest.mark.parametrize(("free", "there"), [(4 * 64 * 6, True), (4 * 64 * 6 - 1, False)])
def test_a_quarter_of_the_free_memory_is_for_data(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, free: int, there: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    assert minibatches.fits(images.train, torch.device("cuda")) is there


# What a step makes of the pieces.


def test_the_gradient_of_a_batch_is_the_mean_over_its_pieces(points: Dataset) -> None:
    """32 samples in 4 pieces, each with its own samples, times and noise, by hand."""

    def trainer() -> Trainer:
        torch.manual_seed(0)
        settings = Training(steps=9, batch=32, micro_batch=8)
        return Trainer("the-run", settings, FlowMatchingOT(), mlp((2,), width=8, depth=1), points, seed=3)

    this, other = trainer(), trainer()
    for step in range(3):
        losses = []
        with torch.no_grad():
            for mine, theirs in zip(other.parameters, this.parameters, strict=True):
                mine.copy_(theirs)
                mine.grad = None
        for piece in range(4):
            x1 = points.train[torch.randint(512, (8,), generator=generator(3, "minibatch", 4 * step + piece))]
            rng = generator(3, "training", 4 * step + piece)
            losses.append(other.baseline.loss(other.module, x1, rng).mean())
        mean = torch.stack(losses).mean()
        mean.backward()
        torch.testing.assert_close(this.take_step(), mean.detach())
        for mine, theirs in zip(other.parameters, this.parameters, strict=True):
            torch.testing.assert_close(theirs.grad, mine.grad)


# Epochs.


@MODES
def test_an_epoch_is_all_samples_once_but_those_too_few_for_a_batch(points: Dataset, streamed: bool) -> None:
    """100 samples are 8 batches of 12, of which 4 are left over."""
    few = dataclasses.replace(points, train=points.train[:100])
    taken = pieces(drawn_from(few, streamed, epochs=True), range(24))
    rows = {tuple(x.tolist()): i for i, x in enumerate(few.train)}
    epochs = [[rows[tuple(x.tolist())] for (i, _), v in taken.items() if i // 8 == e for x in v] for e in range(3)]
    assert all(len(epoch) == len(set(epoch)) == 96 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and len({frozenset(epoch) for epoch in epochs}) == 3
    again = drawn_from(few, epochs=True)
    assert equal({key: again.take(*key).values for key in reversed(taken)}, dict(reversed(taken.items())))


def test_orders_hang_on_the_seed_and_the_phase(points: Dataset) -> None:
    one, other = drawn_from(points, phases=2, epochs=True), drawn_from(points, seed=1, epochs=True)
    first = one.take(0, 0).values
    assert not torch.equal(first, one.take(0, 0, 1).values) and not torch.equal(first, other.take(0, 0).values)


def test_a_batch_larger_than_an_epoch_is_refused(points: Dataset) -> None:
    message = "training.epochs = true: a batch of 12, and 11 samples"
    with pytest.raises(UsageError, match=message):
        drawn_from(dataclasses.replace(points, train=points.train[:11]), epochs=True)
