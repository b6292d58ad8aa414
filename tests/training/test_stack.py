"""Runs that are trained together: equal to those trained alone, and each with its own end."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.config.components import about, build_baseline
from bench.config.registry import baselines
from bench.config.settings import Component, Training
from bench.datasets.base import Dataset
from bench.datasets.source import Draws
from bench.errors import Unstackable
from bench.networks.mlp import mlp
from bench.records.records import Measurement
from bench.training.stack import Member, Stack
from bench.training.stack_check import check
from bench.training.stacked_draws import JoinedDraws
from bench.training.stacked_module import stacked
from bench.training.trainer import CHECK_EVERY, Trainer

SETTINGS: dict[str, Any] = {
    **{"steps": 12, "batch": 16, "lr": 1e-2, "ema": 0.9, "clip_relative": 1.1, "warmup": 3, "decay": "cosine"},
    **{"optimizer": "adamw", "weight_decay": 0.01},
}
NOT_BY_ROWS = "is not one of each sample by itself"
ALONE = {
    **dict.fromkeys(("ffjord", "rnode", "ot_cfm", "sb_cfm", "sf2m"), NOT_BY_ROWS),
    **{"nice": "with mask of its own", "realnvp": "with limit of its own", "vae": "with log_sigma of its own"},
    **{"reflow": "with share of its own", "shortcut": r"it draws numbers of shape \(12,\) for 48 rows of 3 runs"},
}


class Make:
    """Networks of the tests' size."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def network(self, **inputs: Any) -> nn.Module:
        return mlp(**({"shape": self.dataset.shape, "width": 8, "depth": 2} | inputs))


def trainers(
    dataset: Dataset, name: str = "fm_ot", options: dict[str, Any] | None = None, **settings: Any
) -> list[Trainer]:
    """Three seeds of a method."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        baseline = build_baseline(Component(name=name, options=options or {})).for_data(about(dataset))
        module = baseline.build(Make(dataset), about(dataset))
        found.append(Trainer(f"run-{seed}", Training(**(SETTINGS | settings)), baseline, module, dataset, seed))
    return found


def nothing(module: nn.Module) -> list[Measurement]:
    return []


def silent(text: str) -> None:
    pass


def members(folder: Path, runs: list[Trainer], said: list[str] | None = None) -> list[Member]:
    log = silent if said is None else said.append
    return [Member(run, folder / f"{run.identity}.pt", nothing, log) for run in runs]


def alone(folder: Path, runs: list[Trainer]) -> list[Trainer]:
    for run in runs:
        run.fit(folder / f"alone-{run.identity}.pt", nothing, silent)
    return runs


class Killed(Exception):
    pass


def killed_at(run: Trainer, step: int) -> None:
    take = run.take_step

    def take_step() -> Tensor:
        if run.step == step:
            raise Killed
        return take()

    run.take_step = take_step  # type: ignore[method-assign]


def tensors(run: Trainer) -> list[Tensor]:
    moments = [value for optimizer in run.optimizers for entry in optimizer.state.values() for value in entry.values()]
    clippings = [clipping.numbers for clipping in run.clippings]
    return [*run.parameters, *run.average.tensors, *moments, *clippings]


def same(a: Trainer, b: Trainer) -> None:
    """All of two runs but for rounding."""
    assert (a.step, a.rows, a.recent_steps, a.validated) == (b.step, b.rows, b.recent_steps, b.validated)
    assert a.loss == pytest.approx(b.loss, rel=1e-5) and a.evaluations() == b.evaluations()
    rates = [[optimizer.param_groups[0]["lr"] for optimizer in run.optimizers] for run in (a, b)]
    assert rates[0] == rates[1]
    for one, other in zip(tensors(a), tensors(b), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(baselines) - set(ALONE)))
def test_a_stack_ends_where_its_runs_do_alone(points: Dataset, tmp_path: Path, name: str) -> None:
    runs = trainers(points, name)
    check(runs)
    Stack(members(tmp_path, runs)).train()
    for run, other in zip(runs, alone(tmp_path, trainers(points, name)), strict=True):
        same(run, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALONE))
def test_what_is_not_the_same_in_a_stack_is_refused(points: Dataset, name: str) -> None:
    with pytest.raises(Unstackable, match=ALONE[name]):
        check(trainers(points, name))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"compile": True}, "its network is compiled"),
        ({"precision": "bf16"}, "its precision is bf16"),
        ({"micro_batch": 8}, "its batch comes in pieces"),
        ({"steps": None, "seconds": 1.0}, "its budget is one of seconds"),
        ({"batch": 10**6}, "parameters times samples a step are enough for the cpu alone"),
    ],
)
def test_settings_under_which_runs_are_trained_alone(points: Dataset, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unstackable, match=reason):
        check(trainers(points, **settings))


def test_a_method_that_looks_ahead_is_trained_alone(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = trainers(points)
    monkeypatch.setattr(type(runs[0].baseline), "looks_ahead", True)
    with pytest.raises(Unstackable, match="finds something of each batch ahead"):
        check(runs)


def test_runs_at_different_steps_are_no_stack(points: Dataset) -> None:
    runs = trainers(points)
    runs[1].take_step()
    with pytest.raises(Unstackable, match="not at the same step"):
        check(runs)
    with pytest.raises(Unstackable, match="no other seed"):
        check(runs[:1])


def test_a_loss_whose_rows_hang_on_each_other_is_found(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = trainers(points)
    kind = type(runs[0].baseline)

    def loss(baseline: Any, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
        t = torch.rand(len(x1), generator=rng)
        return (net(t, x1 - x1.mean(0)) - x1).square().mean(1)

    monkeypatch.setattr(kind, "loss", loss)
    with pytest.raises(Unstackable, match="hangs on others of its batch"):
        check(runs)


def test_the_check_leaves_runs_and_random_numbers_as_they_were(points: Dataset) -> None:
    runs, before = trainers(points), torch.get_rng_state()
    weights = [p.clone() for run in runs for p in run.parameters]
    check(runs)
    assert torch.equal(before, torch.get_rng_state()) and torch.get_default_dtype() == torch.float32
    assert all(torch.equal(*pair) for pair in zip(weights, (p for run in runs for p in run.parameters), strict=True))
    assert {run.step for run in runs} == {run.net.rows for run in runs} == {0}


@pytest.mark.slow
def test_classes_are_dropped_as_each_run_drops_them(points: Dataset, tmp_path: Path) -> None:
    labels = (points.train[:, 0] > 0).long()
    data = dataclasses.replace(points, train_labels=labels, test_labels=labels[: len(points.test)])
    options = {"labels": True, "label_dropout": 0.5}
    runs = trainers(data, options=options)
    check(runs)
    Stack(members(tmp_path, runs)).train()
    for run, other in zip(runs, alone(tmp_path, trainers(data, options=options)), strict=True):
        same(run, other)


@pytest.mark.slow
def test_runs_go_on_in_a_stack_and_out_of_it(points: Dataset, tmp_path: Path) -> None:
    """Alone to step 5, together to step 9, alone to the end: where they end without interruption, but for rounding."""
    for run in trainers(points, checkpoint_seconds=1e-9):
        run.seconds = 100.0
        killed_at(run, 5)
        with pytest.raises(Killed):
            run.fit(tmp_path / f"{run.identity}.pt", nothing, silent)

    def restored() -> list[Trainer]:
        runs = trainers(points, checkpoint_seconds=1e-9)
        assert all(run.restore(tmp_path / f"{run.identity}.pt", silent) for run in runs)
        return runs

    runs = restored()
    check(runs)
    stack = Stack(members(tmp_path, runs))
    killed_at(stack, 9)
    with pytest.raises(Killed):
        stack.train()
    runs = restored()
    assert {(run.step, run.stacked) for run in runs} == {(9, 3)}
    assert all(100.0 < run.seconds < 160.0 for run in runs)
    size = (tmp_path / "run-0.pt").stat().st_size
    for run, other in zip(alone(tmp_path, runs), alone(tmp_path, trainers(points)), strict=True):
        same(run, other)
    other.save(tmp_path / "other.pt")
    assert size < 1.1 * (tmp_path / "other.pt").stat().st_size


@pytest.mark.slow
def test_a_run_that_diverges_leaves_and_the_others_go_on(points: Dataset, tmp_path: Path) -> None:
    steps, said = CHECK_EVERY + 10, list[str]()
    runs = trainers(points, steps=steps)
    stack = Stack(members(tmp_path, runs, said))
    take = stack.take_step

    def take_step() -> Tensor:
        if stack.step == 20:
            with torch.no_grad():
                runs[1].parameters[0][0] = torch.nan
        return take()

    stack.take_step = take_step  # type: ignore[method-assign]
    stack.train()
    first, lost, last = stack.members
    assert not first.left and not last.left and lost.left.startswith("Diverged: the loss is nan at step 50")
    assert f"leaves its stack of 3 at step 50: {lost.left}" in said and not lost.path.exists()
    others = alone(tmp_path, trainers(points, steps=steps))
    same(runs[0], others[0])
    same(runs[2], others[2])


@pytest.mark.slow
def test_a_run_whose_validation_fails_leaves_and_of_two_none_stays(points: Dataset, tmp_path: Path) -> None:
    def fails(module: nn.Module) -> list[Measurement]:
        raise RuntimeError("a rough field")

    runs, valid = trainers(points, curve_points=2), list[int]()
    stack = Stack(members(tmp_path, runs))
    stack.members[0].validate = fails
    for member in stack.members[1:]:
        member.validate = lambda module: valid.append(1) or [Measurement("w2", 1.0)]
    stack.train()
    assert [member.left for member in stack.members] == ["RuntimeError: a rough field", "", ""]
    assert [[m.place["step"] for m in run.curve] for run in runs] == [[], [6, 12], [6, 12]] and len(valid) == 4
    assert runs[1].finished and not runs[0].finished

    pair = Stack(members(tmp_path / "pair", trainers(points, curve_points=2)[:2]))
    (tmp_path / "pair").mkdir()
    pair.members[0].validate = fails
    pair.train()
    again = trainers(points, curve_points=2)[:2]
    assert [run.restore(member.path, silent) for run, member in zip(again, pair.members, strict=True)] == [True, True]
    assert [run.step for run in again] == [6, 6] and again[1].validated == 0.5


# Its parts.


@pytest.mark.parametrize(
    ("draw", "axis"),
    [
        (lambda rng, n: torch.rand(n, generator=rng), 0),
        (lambda rng, n: torch.randn((n, 3), generator=rng, dtype=torch.float64), 0),
        (lambda rng, n: torch.randn(n, 3, generator=rng), 0),
        (lambda rng, n: torch.rand(3, n, generator=rng), 1),
        (lambda rng, n: torch.randint(0, 5, (2, n, 3), generator=rng), 1),
        (lambda rng, n: torch.randint(5, size=(n,), generator=rng), 0),
        (lambda rng, n: torch.randint(low=1, high=5, size=(n,), generator=rng), 0),
    ],
)
def test_each_run_draws_from_its_own_generator(draw: Callable[[torch.Generator, int], Tensor], axis: int) -> None:
    joined = JoinedDraws([Draws().manual_seed(seed) for seed in (0, 1)], 8)
    with joined.joined():
        found = draw(joined, 8)
    assert torch.equal(found, torch.cat([draw(Draws().manual_seed(seed), 4) for seed in (0, 1)], axis))
    with joined.joined(), pytest.raises(Unstackable, match="it draws numbers of shape"):
        draw(joined, 6)


def test_other_draws_are_left_alone() -> None:
    joined, rand = JoinedDraws([Draws(), Draws()], 8), torch.rand
    with joined.joined():
        found = torch.rand(8, generator=torch.Generator().manual_seed(3))
        torch.manual_seed(3)
        assert torch.equal(torch.rand(8), found)
        with pytest.raises(Unstackable):
            torch.rand(8, 8, generator=joined)
        with pytest.raises(Unstackable):
            torch.randint(8, (8,), generator=joined)
    assert torch.rand is rand


def test_a_stacked_module_answers_as_each_of_its_own() -> None:
    own = [mlp((2,), width=8, depth=2) for _ in range(3)]
    t, x = torch.rand(12), torch.randn(12, 2)
    found = stacked(own)
    assert [name for name, _ in found.named_parameters()] == [name for name, _ in own[0].named_parameters()]
    each = [module(t[4 * s : 4 * s + 4], x[4 * s : 4 * s + 4]) for s, module in enumerate(own)]
    torch.testing.assert_close(found(t, x), torch.cat(each))
    torch.testing.assert_close(stacked([nn.Linear(2, 3, bias=False) for _ in "ab"])(x).shape, torch.Size([12, 3]))


def test_modules_that_cannot_be_stacked() -> None:
    def tied() -> nn.Module:
        layer = nn.Linear(2, 2)
        return nn.Sequential(layer, nn.SiLU(), layer)

    def convolution() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Conv1d(1, 1, 1))

    for make, reason in (
        (tied, "share weights"),
        (convolution, "1 is a Conv1d with weight"),
        (nn.SiLU, "no parameter"),
    ):
        with pytest.raises(Unstackable, match=reason):
            stacked([make(), make()])
    with pytest.raises(Unstackable, match=r"cannot be stacked|more than their weights"):
        stacked([nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))])
