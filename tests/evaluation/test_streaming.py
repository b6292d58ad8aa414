"""Images stream from drawing through features to statistics: memory holds two batches, however many there are."""

import weakref
from functools import cached_property
from pathlib import Path

import pytest
import torch
from judging import register_extractor
from oracles import Given, Idle
from torch import Tensor

from bench.config.settings import Samples, Solve
from bench.datasets.base import Dataset
from bench.evaluation.collected import OfFeatures
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.quality import Judge
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.metrics.extractors import features

BATCH = 16
KEPT = 8


class Alive:
    """How many images are alive of those that it was shown, now and at most; it keeps none of them."""

    def __init__(self) -> None:
        self.now: dict[int, int] = {}
        self.most = 0

    def shown(self, x: Tensor) -> Tensor:
        """The same in memory of its own, which lives as long as anything looks at it."""
        memory = x.numpy().copy()
        self.now[id(memory)] = len(x)
        weakref.finalize(memory, self.now.pop, id(memory))
        self.most = max(self.most, sum(self.now.values()))
        return torch.from_numpy(memory)


class Watched(Dataset):
    @cached_property
    def alive(self) -> Alive:
        return Alive()

    def decode(self, x: Tensor) -> Tensor:
        return self.alive.shown(super().decode(x))

    def pixels(self, k: Tensor) -> Tensor:
        return self.alive.shown(super().pixels(k))


def images(n: int, extractor: str) -> Watched:
    train, test = torch.randint(0, 256, (2, n, 1, 4, 4), generator=torch.Generator().manual_seed(n)).byte()
    return Watched(f"images-{n}", "1", train, test, levels=256, extractor=extractor)


@pytest.mark.slow
def test_images_alive_are_those_of_two_batches_at_any_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and real images alike, with the rows of features that are kept."""
    monkeypatch.setattr(features, "KEPT", KEPT)
    extractor = register_extractor("columns-of-streams", "columns", lambda images: images[:, 0].float().mean(1))
    metrics, found = ("fid", "fid_inf", "kid", "precision_recall", "density_coverage"), []
    for n in (4 * BATCH, 16 * BATCH):
        data = images(n, extractor)
        config = Samples(n=n, batch=BATCH, metrics=metrics, solver=Solve(method="euler", steps=1))
        judge = Judge(data, config, tmp_path, "cpu", 0)
        assert len(judge.references) == 1  # which has read its images
        real, data.alive.most = data.alive.most, 0
        evaluator = Evaluator(Trained(Given(lambda t, x: 0 * x), Idle(), data, 0, "cpu"), judge, config, "ema", print)
        quality = judge.quality(n)
        evaluator.drawn("x", evaluator.ways["euler"], BATCH, quality, Unfinished())
        rows = quality.measured()
        assert all(row.reason is None and row.n in (n, KEPT) for row in rows) and len(rows) > 3
        (collected,) = quality.collected["features"]
        assert isinstance(collected, OfFeatures)
        found.append((real, data.alive.most, len(collected.features.kept), len(data.alive.now)))
    assert found[0] == found[1] == (64, 2 * BATCH, KEPT, 0)
