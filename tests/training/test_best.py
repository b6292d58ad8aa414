"""The weights of least validation loss: which they are, that they are the run's, and that nothing else changes."""

import dataclasses
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.config.components import about, build_baseline
from bench.config.registry import baselines
from bench.config.settings import Component, Training
from bench.datasets.base import Dataset
from bench.datasets.source import SourcePoints
from bench.errors import UsageError
from bench.networks.mlp import mlp
from bench.records.records import Measurement
from bench.training import best, ranks
from bench.training.seeds import generator
from bench.training.stack import Member, Stack
from bench.training.stack_check import check
from bench.training.trainer import Trainer

# A rate so high that the least loss is not the last one.
SETTINGS: dict[str, Any] = {"steps": 30, "batch": 16, "lr": 0.1, "keep": "best", "validate_every": 4}


@pytest.fixture
def points(points: Dataset) -> Dataset:
    """With a validation split, of two pieces and a half."""
    return dataclasses.replace(points, validation=points.train[:40])


class Make:
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def network(self, **inputs: Any) -> nn.Module:
        return mlp(**({"shape": self.dataset.shape, "width": 8, "depth": 1} | inputs))


def trainer(dataset: Dataset, name: str = "fm_ot", seed: int = 0, **settings: Any) -> Trainer:
    torch.manual_seed(seed)
    baseline = build_baseline(Component(name=name)).for_data(about(dataset))
    module = baseline.build(Make(dataset), about(dataset))
    return Trainer(f"run-{seed}", Training(**(SETTINGS | settings)), baseline, module, dataset, seed)


def nothing(module: nn.Module) -> list[Measurement]:
    return []


def silent(text: str) -> None:
    pass


def fitted(run: Trainer, path: Path) -> Trainer:
    run.fit(path, nothing, silent)
    return run


def weights(run: Trainer) -> list[Tensor]:
    return [tensor.clone() for tensor in run.average.tensors]


def recorded(run: Trainer) -> dict[int, tuple[nn.Module, list[Tensor]]]:
    """A copy of the averaged network, and its weights, after each step."""
    found: dict[int, tuple[nn.Module, list[Tensor]]] = {}
    take = run.take_step

    def take_step() -> Tensor:
        loss = take()
        found[run.step] = run.average.frozen(), weights(run)
        return loss

    run.take_step = take_step  # type: ignore[method-assign]
    return found


@torch.no_grad()
def by_hand(module: nn.Module, x: Tensor, seed: int) -> float:
    """Mean over the split of |v(x_t) - (x1 - x0)|^2 / D, with the draws of each 16."""
    losses = []
    for piece, x1 in enumerate(x.split(16)):
        rng = generator(seed, "validation", piece)
        t, x0 = torch.rand(len(x1), generator=rng), torch.randn(x1.shape, generator=rng)
        at = t[:, None]
        losses += ((module(t, at * x1 + (1 - at) * x0) - (x1 - x0)) ** 2).mean(1).tolist()
    return sum(losses) / len(x)


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_a_run_ends_with_the_weights_of_least_validation_loss(points: Dataset, tmp_path: Path, ema: float) -> None:
    assert points.validation is not None
    run = trainer(points, ema=ema, seed=3)
    at = recorded(run)
    fitted(run, tmp_path / "a.pt")
    losses = {step: by_hand(at[step][0], points.validation, 3) for step in [*range(4, 30, 4), 30]}
    least = min(losses, key=losses.__getitem__)
    assert run.best and run.best.step == least < 30
    assert run.best.loss == pytest.approx(losses[least], rel=1e-5)
    assert all(map(torch.equal, weights(run), at[least][1]))
    again = trainer(points, ema=ema, seed=3)
    assert again.restore(tmp_path / "a.pt", silent) and all(map(torch.equal, weights(again), at[least][1]))


class Normal:
    """A law without points."""

    def draw(self, rng: torch.Generator) -> Tensor:
        return torch.randn(2, generator=rng)

    def draws(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=rng)


def test_a_source_of_points_is_validated_by_those_of_its_validation_split(points: Dataset) -> None:
    """All validation points of the source are one here, which the training's are not; a law is drawn from as ever."""
    start = torch.tensor([0.5, -2.0])
    source = SourcePoints({"train": points.train, "validation": start.expand(7, 2), "test": points.test})
    run = trainer(dataclasses.replace(points, source=source))
    module = run.average.frozen()
    assert points.validation is not None and run.best
    loss = 0.0
    for piece, x1 in enumerate(points.validation.split(16)):
        t = torch.rand(len(x1), 1, generator=generator(0, "validation", piece))
        loss += float(((module(t[:, 0], t * x1 + (1 - t) * start) - (x1 - start)) ** 2).mean(1).sum())
    assert run.best.validation_loss(module, 0, 0.0, nullcontext) == pytest.approx(loss / 40, rel=1e-5)
    drawn = trainer(dataclasses.replace(points, source=Normal()))
    assert drawn.best
    found = drawn.best.validation_loss(module, 0, 0.0, nullcontext)
    assert found == pytest.approx(by_hand(module, points.validation, 0), rel=1e-5)


def test_until_then_it_is_trained_as_without(points: Dataset, tmp_path: Path) -> None:
    runs = trainer(points), trainer(points, keep="last")
    one, other = map(recorded, runs)
    for run in runs:
        fitted(run, tmp_path / f"{run.settings.keep}.pt")
    assert all(map(torch.equal, one[30][1], other[30][1]))
    assert runs[0].evaluations() == runs[1].evaluations() == 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fm_ot", "ot_cfm"])
@pytest.mark.parametrize("moment", [2, 9, 29])
def test_a_killed_run_ends_with_the_same(points: Dataset, tmp_path: Path, name: str, moment: int) -> None:
    alone = fitted(trainer(points, name), tmp_path / "alone.pt")
    killed = trainer(points, name)
    while killed.step < moment:
        killed.take_step()
        if killed.looks_for_best:
            killed._seek()
    killed.save(tmp_path / "killed.pt")
    resumed = trainer(points, name)
    resumed.restore(tmp_path / "killed.pt", silent)
    fitted(resumed, tmp_path / "killed.pt")
    assert resumed.best and alone.best
    assert (resumed.best.step, resumed.best.loss) == (alone.best.step, alone.best.loss)
    assert all(map(torch.equal, weights(resumed), weights(alone)))


def test_ranks_share_the_split(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(points)
    module, sums = run.average.frozen(), list[Tensor]()
    monkeypatch.setattr(ranks, "total", lambda tensor: (sums.append(tensor.clone()), tensor)[1])
    assert run.best
    alone = run.best.validation_loss(module, 0, 0.0, run.autocast)
    monkeypatch.setattr(best.ranks, "failing_together", lambda: run.autocast())
    monkeypatch.setattr(ranks, "_count", 2)
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "_rank", rank)
        run.best.validation_loss(module, 0, 0.0, run.autocast)
    assert torch.equal(sums[1] + sums[2], sums[0]) and not (sums[1] * sums[2]).any()
    assert alone == float(sums[0].sum()) / run.best.held


@pytest.mark.slow
def test_seeds_of_a_stack_each_keep_their_own(points: Dataset, tmp_path: Path) -> None:
    alone = [fitted(trainer(points, seed=s, lr=0.03), tmp_path / f"alone-{s}.pt") for s in range(3)]
    runs = [trainer(points, seed=s, lr=0.03) for s in range(3)]
    check(runs)
    Stack([Member(run, tmp_path / f"{run.identity}.pt", nothing, silent) for run in runs]).train()
    for one, other in zip(alone, runs, strict=True):
        assert one.best and other.best and one.best.step == other.best.step
        assert one.best.loss == pytest.approx(other.best.loss, rel=1e-5)
        for a, b in zip(weights(one), weights(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
        (again := trainer(points, seed=other.seed, lr=0.03)).restore(tmp_path / f"{other.identity}.pt", silent)
        assert all(map(torch.equal, weights(again), weights(other)))
    assert len({run.best.loss for run in runs if run.best}) == 3


def test_pairs_are_found_once_and_each_look_has_the_same(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(points, "ot_cfm")
    assert run.best and points.validation is not None
    calls, module, ahead = [], run.average.frozen(), type(run.baseline).ahead
    monkeypatch.setattr(type(run.baseline), "ahead", lambda *a: (calls.append(1), ahead(*a))[1])
    looks = {run.best.validation_loss(module, 0, 0.0, run.autocast) for _ in range(3)}
    assert len(calls) == math.ceil(len(points.validation) / 16) and len(looks) == 1


@pytest.mark.parametrize("name", sorted(name for name, cls in baselines.items() if len(cls.phases) == 1))
def test_any_loss_can_be_looked_at_without_a_gradient(points: Dataset, name: str) -> None:
    if baselines[name].needs_given:
        pytest.skip("of images that are given something")
    run = trainer(points, name)
    assert run.best
    before = torch.get_rng_state()
    run.best.look(run.average.frozen(), 1, 0.5, run.autocast)
    assert run.best.step == 1 and math.isfinite(run.best.loss) and run.net.rows == 0
    assert torch.equal(torch.get_rng_state(), before) and not any(t.requires_grad for t in run.best.tensors)


def test_looks_cost_no_training_seconds(points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best.Best, "look", lambda *_: time.sleep(0.5))
    assert fitted(trainer(points, steps=4), tmp_path / "a.pt").seconds < 0.4


def test_weights_without_a_finite_loss_stay(points: Dataset, tmp_path: Path) -> None:
    bad = dataclasses.replace(points, validation=torch.full((8, 2), torch.inf))
    run = trainer(bad)
    at = recorded(run)
    fitted(run, tmp_path / "a.pt")
    assert run.best and run.best.step is None and all(map(torch.equal, weights(run), at[30][1]))


def test_what_has_no_validation_loss_is_refused(points: Dataset) -> None:
    with pytest.raises(
        UsageError, match=r'training.keep = "best": dataset .* has no validation split; allowed: "last"'
    ):
        trainer(dataclasses.replace(points, validation=None))
    with pytest.raises(UsageError, match=r'training.keep = "best": gan has several losses a step; allowed: "last"'):
        trainer(points, "gan")
