"""NFE: rows that went through the network over rows of the batch, whatever a method makes of a batch."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from oracles import Given, Idle, likelihood
from torch import Tensor, nn

from baselines.ddpm import DDPM
from baselines.regression import Regression
from bench.config.settings import Likelihood, Solve, Training
from bench.datasets.base import Dataset
from bench.evaluation.trained import Trained, Way
from bench.evaluation.unfinished import Unfinished
from bench.methods.baseline import Baseline
from bench.methods.flow import FlowBaseline
from bench.methods.memory import Memory
from bench.methods.network import CountedNetwork, Network
from bench.methods.ode import Solver, VelocityField
from bench.samplers.ode import sampler_of
from bench.training.trainer import Trainer

MIDPOINT = Solver("midpoint", steps=3)


@dataclass(frozen=True)
class Guided(FlowBaseline):
    """v = 2 net(t, x) - net(t, x), asked for in one call of 2 B rows or in two of B."""

    together: bool = True

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return self.velocity(net)(torch.tensor(0.5), x1).square().flatten(1).mean(1)

    def velocity(self, net: Network) -> VelocityField:
        def f(t: Tensor, x: Tensor) -> Tensor:
            if self.together:
                one, other = net(t.expand(2 * len(x)), torch.cat([x, x])).chunk(2)
            else:
                one, other = net(t.expand(len(x)), x), net(t.expand(len(x)), x)
            return 2 * one - other

        return f


class Scaled(nn.Module):
    """net(t, x) = -a x, on a device with room for some rows; `passed` counts the rows of calls that had room."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.room, self.passed = room, 0

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("no room")
        self.passed += len(x)
        return -self.a * x


def trained(baseline: Baseline, points: Dataset, module: nn.Module | None = None) -> Trained:
    return Trained(baseline, module or Scaled(), points, 0, "cpu")


def sampled(this: Trained, way: Way, n: int = 10, batch: int = 4) -> list[float]:
    return [part.nfe for part in this.batches("test", way, n, batch)]


@pytest.mark.parametrize("together", [True, False])
def test_guidance_costs_twice(points: Dataset, together: bool) -> None:
    this = trained(Guided(together), points)
    assert sampled(this, sampler_of(MIDPOINT)) == [12, 12, 12]  # 3 steps of 2 evaluations of 2 passes
    asked = Likelihood(n=10, batch=4, solvers=(Solve(method="midpoint", steps=3),), divergence="hutchinson", probes=3)
    (nfe,) = (m.value for m in likelihood(this, asked, "raw") if m.metric == "nfe_likelihood")
    assert nfe == 12
    trainer = Trainer("r", Training(steps=3, batch=8, micro_batch=4), Guided(together), Scaled(), points, 0)
    for _ in range(3):
        trainer.take_step()
    assert trainer.evaluations() == 6


def test_samplers_are_counted_not_asked(points: Dataset) -> None:
    this = trained(DDPM(ancestral_steps=10, ddim_steps=50), points)
    assert sampled(this, "ddim-50") == [50] * 3
    assert sampled(this, "ancestral-10") == [10] * 3
    this = trained(Regression(), points)
    assert sampled(this, "direct") == [1] * 3
    idle = trained(Given(lambda t, x: x, own=(("idle", lambda x, rng: x),)), points)
    assert sampled(idle, "idle") == [0] * 3


@pytest.mark.parametrize("room", [1, 3, 4])
def test_rows_are_counted_once_whatever_room_there_is(points: Dataset, room: int) -> None:
    module = Scaled(room)
    this = trained(Given(lambda t, x: x), points, module)
    assert sampled(this, sampler_of(MIDPOINT)) == [6, 6, 6]
    asked = Likelihood(n=10, batch=10, solvers=(Solve(method="midpoint", steps=3),))
    (nfe,) = (m.value for m in likelihood(this, asked, "raw") if m.metric == "nfe_likelihood")
    assert nfe == 6


def test_an_attempt_that_fails_after_its_forward_pass_is_not_counted() -> None:
    """As one does whose backward pass has no room."""
    net = CountedNetwork(Idle())
    memory = Memory(shared=net.shared)

    def evaluate(rows: slice) -> Tensor:
        x = torch.zeros(10, 2)[rows]
        y = net(x[:, 0], x)
        if len(x) > 3:
            raise torch.OutOfMemoryError("no room for the backward pass")
        return y

    for times in (1, 2):
        memory.rowwise(evaluate, 10)
        assert net.rows == 10 * times


def test_a_condition_is_no_row_of_its_own(images: Dataset) -> None:
    net = CountedNetwork(Idle(), given=torch.zeros(12, 2, 2, 3))
    assert net(torch.zeros(12), torch.zeros(12, 1, 2, 3)).shape == (12, 3, 2, 3) and net.rows == 12


def test_a_restart_keeps_the_count_of_a_part(points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.evaluation.unfinished.WORTH", 0)
    this, unfinished = trained(Guided(True), points), Unfinished(tmp_path)
    for _ in range(2):
        parts = list(this.batches("test", sampler_of(MIDPOINT), 10, 4, unfinished))
        assert [part.nfe for part in parts] == [12, 12, 12]
