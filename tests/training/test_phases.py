"""Several modules with an optimiser each in the one training loop, and the loop of one phase bit for bit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from baselines.ddpm import DDPM
from baselines.fm_ot import FlowMatchingOT
from baselines.rnode import RNODE
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.methods.baseline import Baseline, Phase
from bench.methods.batch import Batch, Context
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.networks.mlp import mlp
from bench.records.seal import write_sealed
from bench.training import checkpoint
from bench.training.seeds import generator, number
from bench.training.trainer import Trainer

FULL = {"ema": 0.9, "warmup": 3, "decay": "cosine", "clip": 0.5, "weight_decay": 0.01, "lr": 1e-2}


# One phase.


class Noisy(nn.Module):
    """Dropout draws from the global generator, and batch norm keeps statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], 1))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layer(x) + t[:, None, None, None]


def pictures() -> Dataset:
    images = torch.randint(0, 256, (64, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Dataset("pictures", "1", images, images, levels=256)


def plain_loop(
    baseline: Baseline, module: nn.Module, dataset: Dataset, settings: Training, seed: int
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Losses and averaged weights of the steps, as the loop of one network has always made them."""
    net, parameters = CountedNetwork(module), list(module.parameters())
    average = [p.detach().clone() for p in parameters]
    adam = torch.optim.Adam(parameters, settings.lr, weight_decay=settings.weight_decay, fused=True)
    for step in range(settings.steps or 0):
        adam.zero_grad(set_to_none=True)
        draw = generator(seed, "minibatch", step)
        values = dataset.train[torch.randint(len(dataset.train), (settings.batch,), generator=draw)]
        if settings.flip:
            mirrored = torch.rand(settings.batch, generator=draw) < 0.5
            values = torch.where(mirrored[:, None, None, None], values.flip(-1), values)
        rng = generator(seed, "training", step)
        torch.manual_seed(number(seed, "training", step))
        loss = baseline.loss(net, dataset.encode(values, rng), rng).mean()
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(parameters, settings.clip)
        if settings.warmup:
            spent = max(0.0, step / settings.steps - settings.warmup / settings.steps)
            decay = 0.5 * (1 + math.cos(math.pi * spent / (1 - settings.warmup / settings.steps)))
            adam.param_groups[0]["lr"] = max(1e-8, settings.lr * min(1.0, (step + 1) / settings.warmup) * decay)
        adam.step()
        with torch.no_grad():
            d = min(settings.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, parameters, 1 - d)
        yield loss.detach(), average if settings.ema else parameters


@pytest.mark.parametrize("settings", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("baseline", [FlowMatchingOT(), DDPM(), RNODE(1e-3, 1e-3)], ids=lambda b: b.name)
@pytest.mark.parametrize("space", ["points", "pictures"])
def test_one_phase_is_bit_for_bit_the_plain_loop(
    points: Dataset, space: str, baseline: Baseline, settings: dict[str, Any]
) -> None:
    if isinstance(baseline, RNODE) and space == "pictures":
        return
    dataset = points if space == "points" else pictures()
    options = Training(steps=6, batch=16, flip=space == "pictures", **settings)

    def module() -> nn.Module:
        torch.manual_seed(0)
        if isinstance(baseline, RNODE):
            return mlp((2,), width=8, depth=1)
        return Noisy() if space == "points" else Convolution()

    trainer = Trainer("r", options, baseline, module(), dataset, 3)
    for loss, average in plain_loop(baseline, module(), dataset, options, 3):
        assert torch.equal(trainer.take_step(), loss)
        assert all(torch.equal(a, b) for a, b in zip(trainer.average.tensors, average, strict=True))


# Two phases.


@dataclass(frozen=True)
class Pair(Baseline):
    """A least-squares GAN: the critic is pulled to 1 on data and to 0 on samples, the generator to 1."""

    phases: ClassVar[tuple[Phase, ...]] = (Phase("critic", "critic"), Phase("generator", "generator"))

    def critic(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        drawn = net["generator"](self.noise(batch, ctx)).detach()
        return ((net["critic"](batch.x) - 1).square() + net["critic"](drawn).square())[:, 0]

    def generator(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return (net["critic"](net["generator"](self.noise(batch, ctx))) - 1).square()[:, 0]

    def noise(self, batch: Batch, ctx: Context) -> Tensor:
        return torch.randn(batch.x.shape, generator=ctx.rng)

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        raise AssertionError("no phase asks for it")

    def model(self, net: Any) -> Model:
        return Model(samplers={"one-shot": lambda x0, rng: net["generator"](x0)})


def two() -> nn.ModuleDict:
    torch.manual_seed(1)
    return nn.ModuleDict(
        {
            "generator": nn.Sequential(nn.Linear(2, 8, bias=False), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 2)),
            "critic": nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Dropout(0.2), nn.Linear(8, 1)),
        }
    )


def pair(dataset: Dataset, baseline: Baseline | None = None, **settings: Any) -> Trainer:
    return Trainer("r", Training(**{"steps": 12, "batch": 16, **settings}), baseline or Pair(), two(), dataset, 5)


def test_each_phase_updates_its_part_by_its_own_optimiser_on_its_own_streams(points: Dataset) -> None:
    """Three steps by hand."""
    trainer, module = pair(points, lr=1e-2), two()
    net, (critic, generated) = CountedNetwork(module), (module["critic"], module["generator"])
    optimizers = [torch.optim.Adam(part.parameters(), 1e-2, fused=True) for part in (critic, generated)]
    for step in range(3):
        total = []
        for stream, loss, adam in zip(("", "-1"), (Pair().critic, Pair().generator), optimizers, strict=True):
            rows = torch.randint(len(points.train), (16,), generator=generator(5, f"minibatch{stream}", step))
            torch.manual_seed(number(5, f"training{stream}", step))
            found = loss(net, Batch(points.train[rows]), Context(generator(5, f"training{stream}", step))).mean()
            module.zero_grad(set_to_none=True)
            found.backward()
            adam.step()
            total.append(found.detach())
        assert torch.equal(trainer.take_step(), total[0] + total[1])
    for a, b in zip(trainer.module.state_dict().values(), module.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert trainer.evaluations() == 3 * 5  # rows through both parts: 3 of the critic's phase, 2 of the generator's


def test_equal_phases_share_an_optimiser(points: Dataset) -> None:
    class Often(Pair):
        phases = (Phase("critic", "critic"),) * 3 + (Phase("generator", "generator"),)

    trainer = pair(points, Often())
    trainer.take_step()
    steps = [{int(entry["step"]) for entry in optimizer.state.values()} for optimizer in trainer.optimizers]
    assert steps == [{3}, {1}]


def test_betas_are_the_phases_unless_the_settings_have_some(points: Dataset) -> None:
    class Still(Pair):
        phases = (Phase("critic", "critic", betas=(0.0, 0.99)), Phase("generator", "generator"))

    def found(**settings: Any) -> list[tuple[float, float]]:
        return [group["betas"] for adam in pair(points, Still(), **settings).optimizers for group in adam.param_groups]

    assert found() == [(0.0, 0.99), (0.9, 0.999)]
    assert found(betas=(0.5, 0.9)) == [(0.5, 0.9)] * 2


@pytest.mark.parametrize("settings", [{**FULL, "micro_batch": 4}, {"ema": 0.0}], ids=["full", "raw"])
def test_two_phases_resume_bit_for_bit(points: Dataset, tmp_path: Path, settings: dict[str, Any]) -> None:
    whole, first, second = (pair(points, **settings) for _ in "123")
    for _ in range(5):
        first.take_step()
    first.save(tmp_path / "c.pt")
    torch.rand(7)
    with torch.no_grad():
        for p in second.parameters:
            p.normal_()
    assert second.restore(tmp_path / "c.pt", lambda text: None) and second.step == 5
    for trainer in (whole, second):
        while trainer.step < 9:
            trainer.take_step()
    a, b = checkpoint.state(whole), checkpoint.state(second)
    assert a["nfe"] == b["nfe"]
    for key in ("module", "average", "optimizer", "other_optimizers"):
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_a_checkpoint_of_other_phases_is_set_aside(points: Dataset, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class One(Pair):
        phases = (Phase("critic", "critic"),)

    pair(points, One()).save(tmp_path / "c.pt")
    said: list[str] = []
    assert not pair(points).restore(tmp_path / "c.pt", said.append)
    assert said == ["checkpoint c.pt cannot be used (it is of older phases); kept as c.older"]


def test_a_checkpoint_of_before_there_were_phases_is_read(points: Dataset, tmp_path: Path) -> None:
    def flow() -> Trainer:
        torch.manual_seed(0)
        return Trainer("r", Training(steps=9, batch=16, ema=0.9), FlowMatchingOT(), Noisy(), points, 0)

    first, second = flow(), flow()
    for _ in range(3):
        first.take_step()
    content = checkpoint.state(first)
    del content["other_optimizers"], content["buffers"]
    write_sealed(tmp_path / "c.pt", lambda path: torch.save(content, path))
    assert second.restore(tmp_path / "c.pt", lambda text: None)
    assert torch.equal(first.take_step(), second.take_step()) and torch.equal(first.take_step(), second.take_step())


@pytest.mark.parametrize(
    ("phases", "rule"),
    [
        ((Phase("critics", "critic"),), "phase 0 has the loss 'critics', which is no method of Bad"),
        ((Phase("critic", "judge"),), "phase 0 trains part 'judge'; build gives the parts generator, critic"),
        ((), "phases are empty; allowed: at least one"),
        *(
            ((Phase("critic", "critic", betas),), r"phase 0 has betas = .*: a tuple of two numbers from 0 to below 1")
            for betas in ((0.5, 1.0), (0.5,), [0.0, 0.9], ("a", 0.9), (False, 0.9))
        ),
    ],
)
def test_a_phase_that_cannot_be_is_refused(points: Dataset, phases: tuple[Phase, ...], rule: str) -> None:
    @dataclass(frozen=True)
    class Bad(Pair):
        pass

    Bad.phases = phases
    with pytest.raises(UsageError, match=rule):
        pair(points, Bad())
    with pytest.raises(UsageError, match=r"trains part 'critic'; build gives a Noisy, not an nn\.ModuleDict"):
        Trainer("r", Training(steps=1, batch=4), Pair(), Noisy(), points, 0)


# What a loss is given.


@dataclass(frozen=True)
class Curious(FlowMatchingOT):
    """Keeps what its loss is given, and trains towards what the averaged network says."""

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:  # type: ignore[override]
        t = torch.full((len(batch),), 0.5)
        average = ctx.average(t, batch.x)
        seen.append((batch, ctx, average))
        return (net(t, batch.x) - average - 1).square().mean(1)


seen: list[tuple[Batch, Context, Tensor]] = []


@pytest.mark.parametrize("ema", [0.7, 0.0])
def test_a_loss_is_given_its_batch_and_the_averaged_network(points: Dataset, ema: float) -> None:
    seen.clear()
    torch.manual_seed(0)
    labelled = Dataset("d", "1", points.train, points.test, train_labels=torch.arange(512) % 3)
    trainer = Trainer("r", Training(steps=4, batch=16, ema=ema, lr=1e-2), Curious(), Noisy(), labelled, 0)
    for step in range(3):
        frozen = trainer.average.frozen()
        trainer.take_step()
        batch, ctx, average = seen[-1]
        assert batch.index is not None and torch.equal(batch.x, points.train[batch.index])
        assert batch.labels is not None and torch.equal(batch.labels, batch.index % 3) and batch.given is None
        assert (ctx.step, ctx.progress) == (step, step / 4)
        assert not average.requires_grad
        assert torch.equal(average, frozen(torch.full((16,), 0.5), batch.x))
    assert trainer.evaluations() == 6


def test_each_part_is_compiled_once_before_the_clock_starts(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler stands by: what it is given goes on as it is."""
    given: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module: given.append(module) or module)
    plain, compiled = pair(points, steps=4), pair(points, steps=4, compile=True)
    take, before = compiled.take_step, list[int]()
    monkeypatch.setattr(compiled, "take_step", lambda: before.append(len(given)) or take())
    for name, trainer in (("a", plain), ("b", compiled)):
        trainer.fit(tmp_path / name, lambda module: [], lambda text: None)
    assert before == [2] * 4 and {id(part) for part in given} == {id(part) for part in compiled.module.values()}
    assert compiled.evaluations() == plain.evaluations() == 4 * 5
    torch.testing.assert_close(compiled.module.state_dict(), plain.module.state_dict(), rtol=0, atol=0)


def test_a_frozen_part_is_held_once_and_follows_the_module(points: Dataset, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Critic(Pair):
        phases = (Phase("critic", "critic"),)

    def trainer() -> Trainer:
        module = two()
        module["generator"].requires_grad_(False)
        return Trainer("r", Training(steps=9, batch=16, ema=0.9), Critic(), module, points, 5)

    first, second = trainer(), trainer()
    for own, average in zip(first.parameters, first.average.tensors, strict=True):
        assert (own is average) == (not own.requires_grad)
    first.take_step()
    with torch.no_grad():
        first.module["generator"][0].weight += 1  # as a forward pass might
    first.save(tmp_path / "c.pt")
    assert second.restore(tmp_path / "c.pt", lambda text: None)
    for trained in (first, second):
        assert torch.equal(trained.average.frozen()["generator"][0].weight, first.module["generator"][0].weight)
