"""The training loop: exact resumption, an honest clock, and the formulas of averaging, schedule and clipping."""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.ffjord import FFJORD
from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import Diverged, UsageError
from bench.evaluation.clock import Pace
from bench.methods.baseline import Baseline
from bench.methods.batch import Batch, Context
from bench.methods.flow import mean_square
from bench.methods.network import CountedNetwork, Network
from bench.methods.ode import VelocityField
from bench.networks.mlp import mlp
from bench.records.records import Measurement
from bench.training import checkpoint, ranks
from bench.training.seeds import generator
from bench.training.trainer import CHECK_EVERY, Trainer


class Noisy(nn.Module):
    """A network that draws from the global generator, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], 1))


def trainer(dataset: Dataset, baseline: Baseline | None = None, seed: int = 0, **settings: Any) -> Trainer:
    torch.manual_seed(seed)
    module = Noisy() if dataset.shape == (2,) else mlp(dataset.shape, width=8, depth=1)
    options = {"steps": 30, "batch": 16, "lr": 1e-2} | settings
    if settings.keys() & {"seconds", "evaluations"}:
        del options["steps"]
    return Trainer("the-run", Training(**options), baseline or FlowMatchingOT(), module, dataset, seed)


def validate(module: nn.Module) -> list[Measurement]:
    """A number that depends on the weights, and uses up random numbers as a solve with probes might."""
    value = sum(float(p.abs().sum()) for p in module.parameters())
    return [Measurement("nll_nats", value, settings={"split": "test"})]


def nothing(module: nn.Module) -> list[Measurement]:
    return []


class Killed(Exception):
    pass


def killed_at(trainer: Trainer, step: int) -> None:
    """Make the trainer die in the middle of a step."""
    take = trainer.take_step

    def take_step() -> Tensor:
        if trainer.step == step:
            raise Killed
        return take()

    trainer.take_step = take_step  # type: ignore[method-assign]


def watch(trainer: Trainer, look: Callable[[], None]) -> None:
    """Call `look` just before every update."""
    (optimizer,) = trainer.optimizers
    update = optimizer.step

    def step(*args: Any, **keywords: Any) -> Any:
        look()
        return update(*args, **keywords)

    optimizer.step = step  # type: ignore[method-assign]


def silent(text: str) -> None:
    pass


# Resumption.

FULL = {"steps": 70, "ema": 0.9, "warmup": 10, "decay": "cosine", "clip": 1.0, "curve_points": 3, "weight_decay": 0.01}


RAW = {**FULL, "ema": 0.0, "optimizer": "adamw", "clip": None, "clip_relative": 1.1}
BY_ROWS = {"evaluations": 70 * 16, **{key: value for key, value in FULL.items() if key != "steps"}}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [FULL, RAW, BY_ROWS], ids=["averaged", "raw", "by evaluations"])
@pytest.mark.parametrize("moment", [1, 33, 69])
def test_a_killed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(
    points: Dataset, tmp_path: Path, settings: dict[str, Any], moment: int
) -> None:
    whole = trainer(points, **settings)
    whole.fit(tmp_path / "whole.pt", validate, silent)

    path = tmp_path / "checkpoint.pt"
    first = trainer(points, checkpoint_seconds=1e-9, **settings)
    killed_at(first, moment)
    with pytest.raises(Killed):
        first.fit(path, validate, silent)
    torch.rand(7)  # another process has another global random state
    second = trainer(points, **settings)
    with torch.no_grad():
        for p in second.parameters:
            p.normal_()
    said: list[str] = []
    assert second.restore(path, said.append)
    assert said == [f"resumed at step {moment}"]
    assert second.step == moment and second.seconds == first.seconds
    second.fit(path, validate, silent)

    a, b = checkpoint.state(whole), checkpoint.state(second)
    for key in ("step", "nfe", "loss", "identity"):
        assert a[key] == b[key], key
    for key in ("module", "average", "optimizer", "clippings"):
        assert same(a[key], b[key]), key
    assert a["clippings"][0][2] > 0  # of both kinds

    def curve(t: Trainer) -> list[tuple[int, int, float]]:
        return [(m.place["step"], m.place["nfe_training"], m.value) for m in t.curve]

    assert curve(whole) == curve(second)
    assert [step for step, _, _ in curve(whole)] == [18, 35, 70]  # at 1/4, 1/2 and all of 70
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    ends = [t.average.frozen()(torch.full((5,), 0.5), x) for t in (whole, second)]
    assert torch.equal(*ends)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def test_a_finished_run_that_is_resumed_does_nothing(points: Dataset, tmp_path: Path) -> None:
    first = trainer(points)
    first.fit(tmp_path / "c.pt", nothing, silent)
    second = trainer(points)
    assert second.restore(tmp_path / "c.pt", silent)
    second.fit(tmp_path / "c.pt", nothing, silent)
    assert (
        second.step == 30 and second.loss == first.loss and same(second.module.state_dict(), first.module.state_dict())
    )


def test_seeds_decide_the_run(points: Dataset, tmp_path: Path) -> None:
    ends = []
    for seed in (0, 0, 1):
        t = trainer(points, seed=seed)
        t.fit(tmp_path / "c.pt", nothing, silent)
        ends.append(t.module.state_dict())
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


def test_a_checkpoint_is_tensors_numbers_and_strings(points: Dataset, tmp_path: Path) -> None:
    trainer(points, curve_points=1).fit(tmp_path / "c.pt", validate, silent)
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    assert state["step"] == 30
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "pickle", "another object", "another edition"])
def test_a_damaged_checkpoint_is_set_aside_and_said(points: Dataset, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    trainer(points).save(path)
    whole = path.read_bytes()
    if damage == "another object":
        torch.save([1, 2], path)
    elif damage == "another edition":
        torch.save({"identity": "the-run", "step": 3}, path)
    else:
        path.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello", "pickle": b"\x80\x02"}[damage]
        )
    broken = path.read_bytes()
    said: list[str] = []
    t = trainer(points)
    assert not t.restore(path, said.append)
    assert not path.exists() and (tmp_path / "checkpoint.corrupt").read_bytes() == broken
    assert len(said) == 1 and "\n" not in said[0]
    assert "checkpoint.pt cannot be used" in said[0] and "checkpoint.corrupt" in said[0]
    t.fit(path, nothing, silent)
    assert t.step == 30


def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_goes_on(points: Dataset, tmp_path: Path) -> None:
    path, before = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt"
    whole, first = trainer(points), trainer(points, checkpoint_seconds=1e-9)
    whole.fit(tmp_path / "whole.pt", nothing, silent)
    killed_at(first, 20)
    with pytest.raises(Killed):
        first.fit(path, nothing, silent)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    said: list[str] = []
    second = trainer(points)
    assert second.restore(path, said.append) and second.step == 19
    assert len(said) == 2 and "checkpoint.pt cannot be used" in said[0]
    assert said[1] == "resumed at step 19 of checkpoint.previous.pt"
    assert before.exists() and not path.exists() and (tmp_path / "checkpoint.corrupt").exists()
    second.fit(path, nothing, silent)
    assert same(second.module.state_dict(), whole.module.state_dict())


def test_a_checkpoint_that_another_rank_cannot_read_is_used_by_none(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = trainer(points)
    for _ in "12":
        t.take_step()
        t.save(tmp_path / "c.pt")
    # There; damaged for the other rank. The one before: there, and sound for both.
    answers = iter([[1.0], [1.0], [1.0], [0.0]])
    monkeypatch.setattr(ranks, "agreed", lambda *values: next(answers))
    second, said = trainer(points), list[str]()
    assert second.restore(tmp_path / "c.pt", said.append) and second.step == 1
    assert "by another rank" in said[0] and "c.previous.pt" in said[1]


def test_where_both_checkpoints_are_damaged_training_begins_again(points: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / name).write_bytes(b"PK")
    t, said = trainer(points), list[str]()
    assert not t.restore(path, said.append) and t.step == 0 and len(said) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint.corrupt", "checkpoint.previous.corrupt"}


def test_a_checkpoint_of_another_configuration_is_refused_and_left(points: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    other = trainer(points)
    other.identity = "another-run"
    other.save(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"checkpoint\.pt: a checkpoint of another-run, not of the-run"):
        trainer(points).restore(path, silent)
    assert path.read_bytes() == before


def test_without_a_checkpoint_training_begins(points: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    assert not trainer(points).restore(tmp_path / "none.pt", said.append)
    assert not said


# The clock and the budget.


@pytest.mark.slow
def test_the_clock_counts_steps_alone_and_goes_on_after_a_restart(points: Dataset, tmp_path: Path) -> None:
    def slow(module: nn.Module) -> list[Measurement]:
        time.sleep(0.4)
        return validate(module)

    first = trainer(points, curve_points=3)
    begun = time.perf_counter()
    first.fit(tmp_path / "c.pt", slow, silent)
    wall = time.perf_counter() - begun
    assert wall > 1.2 and 0 < first.seconds < wall - 1.2
    at = [m.place["train_seconds"] for m in first.curve]
    assert at == sorted(at) and at[0] > 0 and at[-1] <= first.seconds

    first.seconds, first.step = 1000.0, 10
    first.save(tmp_path / "c.pt")
    second = trainer(points)
    assert second.restore(tmp_path / "c.pt", silent) and second.seconds == 1000.0
    begun = time.perf_counter()
    second.fit(tmp_path / "c.pt", nothing, silent)
    assert 1000.0 < second.seconds < 1000.0 + time.perf_counter() - begun


@pytest.mark.slow
def test_a_budget_in_seconds_ends_there(points: Dataset, tmp_path: Path) -> None:
    t = trainer(points, seconds=0.4, curve_points=2)
    t.fit(tmp_path / "c.pt", validate, silent)
    assert 0.4 <= t.seconds < 0.8 and t.step > 5 and t.progress == 1.0
    assert [m.place["train_seconds"] >= share for m, share in zip(t.curve, (0.2, 0.4), strict=True)] == [True, True]


def test_of_two_budgets_the_first_to_run_out_counts(points: Dataset, tmp_path: Path) -> None:
    t = trainer(points, seconds=1000.0)
    t.settings = t.settings.model_copy(update={"steps": 5})
    t.fit(tmp_path / "c.pt", nothing, silent)
    assert t.step == 5


class Twice(FlowMatchingOT):
    """Its averaged network is asked, too: two rows a sample, one of them without a gradient."""

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
        t = torch.rand(len(batch), generator=ctx.rng)
        return mean_square(net(t, batch.x) - ctx.average(t, batch.x))


@pytest.mark.parametrize(
    ("baseline", "evaluations", "steps"), [(FlowMatchingOT(), 160, 10), (FlowMatchingOT(), 161, 11), (Twice(), 160, 5)]
)
@pytest.mark.parametrize("warmup_share", [0.0, 0.2])
def test_a_budget_of_evaluations_ends_with_the_step_that_reaches_it(
    points: Dataset, tmp_path: Path, baseline: Baseline, evaluations: int, steps: int, warmup_share: float
) -> None:
    """Rows count whether they have a gradient or not, and those of a validation do not; the rate goes by them."""

    def evaluated(module: nn.Module) -> list[Measurement]:
        CountedNetwork(module)(torch.zeros(99), points.test[:99])
        return validate(module)

    t, said, rates = trainer(points, baseline, evaluations=evaluations, micro_batch=8, curve_points=2), [], []
    t.settings = t.settings.model_copy(update={"decay": "linear", "warmup_share": warmup_share})
    watch(t, lambda: rates.append(t.optimizers[0].param_groups[0]["lr"]))
    t.fit(tmp_path / "c.pt", evaluated, said.append)
    a_step = 32 if isinstance(baseline, Twice) else 16
    assert (t.step, t.rows, t.evaluations()) == (steps, steps * a_step, steps * a_step / 16)
    assert [m.place["step"] for m in t.curve] == [math.ceil(evaluations / 2 / a_step), steps]
    spent = [step * a_step / evaluations for step in range(steps)]
    rises = [p / warmup_share if warmup_share else 1.0 for p in spent]
    shares = [min(1, rise, (1 - p) / (1 - warmup_share)) for p, rise in zip(spent, rises, strict=True)]
    assert rates == pytest.approx([max(1e-8, 1e-2 * share) for share in shares])
    assert said[-1].startswith(f"train step {steps} ({steps * a_step} of {evaluations} evaluations), loss ")


def test_progress_is_said_by_time_and_at_the_end(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line says the mean loss since the last look, and changes nothing of what is recorded."""
    said: list[str] = []
    t = trainer(points, steps=2 * CHECK_EVERY + 1)
    monkeypatch.setattr(Pace, "due", lambda pace: t.step in (3, 70))
    losses: list[float] = []
    step = t.take_step

    def kept() -> Tensor:
        losses.append(float(loss := step()))
        return loss

    monkeypatch.setattr(t, "take_step", kept)
    t.fit(tmp_path / "c.pt", nothing, said.append)
    told = [re.fullmatch(r"train step (\d+) of 101, loss (\S+), \S+ s", text) for text in said]
    assert [int(match[1]) for match in told if match] == [3, 70, 101]
    means = [mean(losses[:3]), mean(losses[50:70]), losses[100]]
    assert [float(match[2]) for match in told if match] == pytest.approx(means, rel=1e-3)
    assert t.loss == pytest.approx(losses[100])


# One step.


def test_average_follows_its_formula(points: Dataset) -> None:
    t = trainer(points, ema=0.7)
    mine = [p.detach().clone() for p in t.parameters]
    for step in range(25):
        t.take_step()
        decay = min(0.7, (1 + step) / (10 + step))
        mine = [decay * a + (1 - decay) * p.detach() for a, p in zip(mine, t.parameters, strict=True)]
    assert any(not torch.equal(a, p) for a, p in zip(t.average.tensors, t.parameters, strict=True))
    for a, b in zip(t.average.tensors, mine, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_evaluation_has_the_averaged_weights_frozen_and_its_own(points: Dataset, ema: float) -> None:
    t = trainer(points, ema=ema)
    for _ in range(5):
        t.take_step()
    module = t.average.frozen()
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    for p, a in zip(module.parameters(), t.average.tensors, strict=True):
        assert torch.equal(p, a) and p.data_ptr() != a.data_ptr()
    assert t.module.training and all(p.requires_grad for p in t.module.parameters())


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, lambda k: 1.0),
        ({"warmup": 10}, lambda k: min(1, (k + 1) / 10)),
        ({"decay": "linear"}, lambda k: 1 - k / 20),
        ({"decay": "cosine"}, lambda k: (1 + math.cos(math.pi * k / 20)) / 2),
        # From 1e-8 up to the peak within the warm-up, then linearly down: the paper's schedule.
        ({"warmup": 5, "decay": "linear"}, lambda k: min(1, (k + 1) / 5) * min(1, 1 - (k - 5) / 15)),
        ({"warmup_share": 0.25}, lambda k: max(1e-6, min(1, k / 5))),
        ({"warmup_share": 0.25, "decay": "linear"}, lambda k: max(1e-6, min(k / 5, 1 - (k - 5) / 15))),
    ],
    ids=["constant", "warm-up", "linear", "cosine", "both", "share", "share of both"],
)
def test_learning_rate_follows_its_schedule(
    points: Dataset, settings: dict[str, Any], share: Callable[[int], float]
) -> None:
    t = trainer(points, steps=20, lr=0.01, **settings)
    rates: list[float] = []
    watch(t, lambda: rates.append(t.optimizers[0].param_groups[0]["lr"]))
    for _ in range(20):
        t.take_step()
    assert rates == pytest.approx([0.01 * share(k) for k in range(20)])


@pytest.mark.parametrize(("clip", "clipped"), [(1e-3, True), (None, False)])
def test_clipping_bounds_the_norm_of_the_gradient(points: Dataset, clip: float | None, clipped: bool) -> None:
    t = trainer(points, clip=clip)
    norms: list[float] = []
    watch(t, lambda: norms.append(float(nn.utils.get_total_norm([p.grad for p in t.parameters if p.grad is not None]))))
    for _ in range(3):
        t.take_step()
    if clipped:
        assert norms == pytest.approx([1e-3] * 3, rel=1e-2)
    else:
        assert min(norms) > 0.05


def test_a_step_is_adam_on_the_mean_loss(points: Dataset) -> None:
    """The same update by hand: the batch comes from one generator, the times and the noise from another."""
    t = trainer(points)
    t.module.eval()
    other = trainer(points)
    other.module.eval()
    t.take_step()
    x1 = points.train[torch.randint(512, (16,), generator=generator(0, "minibatch"))]
    rng = generator(0, "training")
    other.baseline.loss(other.module, x1, rng).mean().backward()
    torch.optim.Adam(other.module.parameters(), 1e-2).step()
    for a, b in zip(t.module.parameters(), other.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@dataclasses.dataclass(frozen=True)
class Spy(FlowMatchingOT):
    """Flow Matching that keeps what it was shown."""

    seen: list[Tensor] = dataclasses.field(default_factory=list)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        self.seen.append(x1)
        return super().loss(net, x1, rng)


def test_images_are_dequantised_anew_every_step(images: Dataset) -> None:
    spy = Spy()
    t = trainer(images, spy, batch=400)
    t.take_step()
    t.take_step()
    first, second = spy.seen
    assert first.min() >= -1 and first.max() <= 1 and first.shape == (400, 1, 2, 3)
    remainder = ((first + 1) * 128) % 1
    assert abs(float(remainder.mean()) - 0.5) < 4 * math.sqrt(1 / 12 / 2400)
    assert not torch.equal(first, second)
    stored = {tuple(k.flatten().tolist()) for k in images.train}
    assert all(tuple(k.flatten().tolist()) in stored for k in ((first + 1) * 128).floor().int())


# What goes wrong, and other precision.


@dataclasses.dataclass(frozen=True)
class Poisoned(FlowMatchingOT):
    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return super().loss(net, x1, rng) * math.nan


def test_a_loss_that_is_not_finite_is_diverged(points: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the loss is nan at step 30"):
        trainer(points, Poisoned()).fit(tmp_path / "c.pt", nothing, silent)
    with pytest.raises(Diverged, match="at step 50"):
        trainer(points, steps=1000, lr=1e38).fit(tmp_path / "c.pt", nothing, silent)
    assert not (tmp_path / "c.pt").exists()


@dataclasses.dataclass(frozen=True)
class Breaking(FlowMatchingOT):
    """Its loss is not a number from the 13th batch on."""

    batches: list[int] = dataclasses.field(default_factory=list)

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        self.batches.append(1)
        return super().loss(net, x1, rng) * (math.nan if len(self.batches) > 12 else 1.0)


def test_a_loss_that_breaks_between_two_looks_is_never_saved(points: Dataset, tmp_path: Path) -> None:
    """Saved after every step, looked at by the saving alone: the last file is good, and a retry begins there."""
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Diverged, match="the loss is nan at step 13; --retry goes on from the checkpoint of step 12"):
        trainer(points, Breaking(), checkpoint_seconds=1e-9).fit(path, nothing, silent)
    again = trainer(points, Breaking(batches=[1] * 12))
    assert again.restore(path, silent) and again.step == 12
    assert all(bool(p.isfinite().all()) for p in again.parameters)
    with pytest.raises(Diverged, match="the loss is nan"):
        again.fit(path, nothing, silent)
    steps = [torch.load(p, weights_only=True)["step"] for p in (path, tmp_path / "checkpoint.previous.pt")]
    assert steps == [12, 11]


def tensors(t: Trainer, what: str) -> list[Tensor]:
    return t.parameters if what == "parameters" else t.average.tensors


@pytest.mark.parametrize("what", ["parameters", "average"])
def test_weights_that_are_not_finite_are_never_saved(points: Dataset, tmp_path: Path, what: str) -> None:
    t = trainer(points, ema=0.9)
    t.save(tmp_path / "c.pt")
    whole = (tmp_path / "c.pt").read_bytes()
    t.take_step()
    with torch.no_grad():
        tensors(t, what)[-1][0] = math.inf
    with pytest.raises(Diverged, match="the weights are not finite at step 1"):
        t.save(tmp_path / "c.pt")
    assert (tmp_path / "c.pt").read_bytes() == whole


@pytest.mark.parametrize("what", ["parameters", "average"])
def test_a_poisoned_checkpoint_is_never_restored(points: Dataset, tmp_path: Path, what: str) -> None:
    t = trainer(points, ema=0.9)
    with torch.no_grad():
        tensors(t, what)[0][0] = math.nan
    checkpoint.save(t, tmp_path / "c.pt")  # past the look
    said: list[str] = []
    assert not trainer(points, ema=0.9).restore(tmp_path / "c.pt", said.append)
    assert "its weights are not finite" in said[0]


def test_a_frozen_mask_of_infinities_is_no_divergence(points: Dataset, tmp_path: Path) -> None:
    module = Noisy()
    module.mask = nn.Parameter(torch.tensor([0.0, -math.inf]), requires_grad=False)
    runs = [Trainer("r", Training(steps=3, batch=8, ema=0.9), FlowMatchingOT(), module, points, 0) for _ in "12"]
    runs[0].fit(tmp_path / "c.pt", nothing, silent)
    assert runs[1].restore(tmp_path / "c.pt", silent) and runs[1].step == 3


def test_a_lost_point_of_the_curve_stands_in_it(points: Dataset, tmp_path: Path) -> None:
    def lost(module: nn.Module) -> list[Measurement]:
        return [Measurement("nll_nats", math.nan, settings={"split": "test"}, reason="diverged")]

    t = trainer(points, curve_points=2)
    t.fit(tmp_path / "c.pt", lost, silent)
    assert [(m.place["step"], m.settings["split"], m.reason) for m in t.curve] == [
        (15, "test", "diverged"),
        (30, "test", "diverged"),
    ]
    again = trainer(points, curve_points=2)
    assert again.restore(tmp_path / "c.pt", silent) and [m.reason for m in again.curve] == ["diverged"] * 2


def test_bf16_trains_weights_in_single_precision(points: Dataset, tmp_path: Path) -> None:
    whole = trainer(points)
    whole.fit(tmp_path / "a.pt", nothing, silent)
    half = trainer(points, precision="bf16")
    half.fit(tmp_path / "b.pt", nothing, silent)
    assert all(p.dtype == torch.float32 for p in half.parameters)
    assert half.loss != whole.loss and half.loss == pytest.approx(whole.loss, rel=0.05)


@pytest.mark.parametrize(("has", "says"), [(True, False), (False, True)])
def test_a_cpu_without_instructions_for_bf16_is_told_of(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool, says: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": has})
    for precision in ("fp32", "bf16"):
        trainer(points, precision=precision, steps=1).fit(tmp_path / precision, nothing, told.append)
    assert [line.partition(":")[0] for line in told if "instructions" in line] == says * ['training.precision = "bf16"']


class Linear(nn.Module):
    """v = x A, with A the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(0.1 * torch.eye(2))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return x @ self.matrix


def counted_calls(net: nn.Module) -> list[int]:
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_evaluations_of_training_are_one_a_step_for_flow_matching(points: Dataset, tmp_path: Path) -> None:
    t = trainer(points)
    calls = counted_calls(t.module)
    t.fit(tmp_path / "c.pt", validate, silent)
    assert t.evaluations() == len(calls) == 30


@pytest.mark.parametrize("adjoint", [False, True])
def test_evaluations_of_training_are_the_solvers_for_maximum_likelihood(points: Dataset, adjoint: bool) -> None:
    module = Linear()
    t = Trainer("r", Training(steps=3, batch=8), FFJORD(1e-4, 1e-4, adjoint=adjoint), module, points, 0)
    calls = counted_calls(module)
    for _ in range(3):
        t.take_step()
    assert t.evaluations() == len(calls) > 3 * 7


def test_validation_costs_no_evaluations_of_training(points: Dataset, tmp_path: Path) -> None:
    t = trainer(points, curve_points=2)

    def look(module: nn.Module) -> list[Measurement]:
        module(torch.zeros(3), torch.zeros(3, 2))
        return validate(module)

    t.fit(tmp_path / "c.pt", look, silent)
    assert t.evaluations() == 30


def test_counted_network_hands_on_what_it_is_given() -> None:
    seen: list[Sequence[Tensor]] = []

    class Echo(nn.Module):
        def forward(self, t: Tensor, x: Tensor) -> Tensor:
            seen.append((t, x))
            return 2 * x

    net, (t, x) = CountedNetwork(Echo()), (torch.zeros(3), torch.ones(3, 2))
    field: VelocityField = FlowMatchingOT().velocity(net)
    assert torch.equal(net(t, x), 2 * x) and net.rows == 3
    assert torch.equal(field(torch.tensor(0.5), x), 2 * x) and net.rows == 6
    assert torch.equal(seen[1][0], torch.full((3,), 0.5))
