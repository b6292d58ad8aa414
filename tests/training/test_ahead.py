"""Pieces made ready in a thread: the training is bit for bit the one without, and what goes wrong is the step's own."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from baselines.icfm import ICFM
from baselines.ot_cfm import OTCFM
from baselines.sb_cfm import SBCFM
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.methods.baseline import Baseline, Phase
from bench.methods.batch import Batch
from bench.methods.couplings import told_of
from bench.networks.mlp import mlp
from bench.training.ahead import DEPTH, pays
from bench.training.cores import SHARE
from bench.training.trainer import Trainer

ALONE, SPARED = "1", "9"  # cores


@dataclass(frozen=True)
class TwoPhases(OTCFM):
    phases: ClassVar[tuple[Phase, ...]] = (Phase(), Phase("again"))

    def again(self, net: Any, batch: Any, ctx: Any) -> Tensor:
        return 2 * self.loss(net, batch, ctx) + 0 * torch.rand((), generator=ctx.rng)


@dataclass(frozen=True)
class Deaf(OTCFM):
    """Its loss draws pairs by itself, as one of before there was `found`."""

    def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:
        x0 = torch.randn(batch.x.shape, generator=ctx.rng)
        x0, x1 = told_of(net, self.coupled(batch, x0, ctx.rng))
        return (net(torch.rand(len(x0), generator=ctx.rng), x0) - x1).square().mean(1)


@dataclass(frozen=True)
class Failing(OTCFM):
    made: ClassVar[list[torch.Tensor]] = []

    def ahead(self, batch: Batch, rng: torch.Generator) -> Any:
        self.made.append(batch.x)
        if len(self.made) == 5:
            raise ArithmeticError("no plan")
        return super().ahead(batch, rng)


def trainer(dataset: Dataset, baseline: Baseline, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    module: nn.Module = mlp(dataset.shape, width=8, depth=1)
    return Trainer("the-run", Training(**{"steps": 6, "batch": 16} | settings), baseline, module, dataset, seed=0)


def trained(made: Trainer, path: Path) -> list[Tensor]:
    made.fit(path, validate=lambda module: [], log=lambda text: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    return made.parameters


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "baseline",
    [OTCFM(), OTCFM(coupling="drawn"), ICFM(coupling="exact"), SBCFM(sigma=2.0), TwoPhases(), Deaf()],
    ids=lambda b: f"{type(b).__name__}-{b.coupling}",
)
@pytest.mark.parametrize("micro", [None, 8])
def test_weights_are_those_of_training_without_a_thread(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: OTCFM, micro: int | None
) -> None:
    found = {}
    for cores in (ALONE, SPARED):
        monkeypatch.setenv(SHARE, cores)
        found[cores] = trained(trainer(points, baseline, micro_batch=micro, ema=0.9), tmp_path / cores)
    for alone, spared in zip(found[ALONE], found[SPARED], strict=True):
        assert torch.equal(alone, spared)


@pytest.mark.slow
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARE, ALONE)
    whole = trained(trainer(points, OTCFM(coupling="drawn")), tmp_path / "whole")
    monkeypatch.setenv(SHARE, SPARED)
    first = trainer(points, OTCFM(coupling="drawn"))
    take = first.take_step

    def until_three() -> Tensor:
        if first.step == 3:
            raise KeyboardInterrupt
        return take()

    monkeypatch.setattr(first, "take_step", until_three)
    with pytest.raises(KeyboardInterrupt):
        trained(first, tmp_path / "killed")
    first.save(tmp_path / "killed")
    second = trainer(points, OTCFM(coupling="drawn"))
    assert second.restore(tmp_path / "killed", log=lambda text: None) and second.step == 3
    for a, b in zip(whole, trained(second, tmp_path / "killed"), strict=True):
        assert torch.equal(a, b)


def test_what_goes_wrong_in_the_thread_is_an_error_of_its_own_step(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARE, SPARED)
    Failing.made.clear()
    failing = trainer(points, Failing())
    with pytest.raises(ArithmeticError, match="no plan"):
        trained(failing, tmp_path / "checkpoint")
    assert failing.step == 4 and failing.ahead is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    assert 5 <= len(Failing.made) <= 5 + DEPTH


def test_a_thread_is_for_a_plan_and_a_core_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARE, "2")
    coupled = OTCFM()
    assert pays(coupled, "cpu") and not pays(OTCFM(coupling="independent"), "cpu")
    assert not pays(FlowMatchingOT(), "cpu") and not pays(ICFM(), "cpu")
    torch.set_num_threads(2)
    assert not pays(coupled, "cpu") and pays(coupled, "cuda:0")
    monkeypatch.setenv(SHARE, "1")
    assert not pays(coupled, "cuda:0")
