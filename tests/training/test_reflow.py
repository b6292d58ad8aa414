"""Reflow: its pairs, the teacher that the averaged flow becomes, and a restart across that."""

from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import GaussianMixture, transported
from tiny import SUITE, runs
from torch import Tensor, nn

from baselines.ddpm import DDPM
from baselines.fm_ot import FlowMatchingOT
from baselines.reflow import Reflow
from bench.config import components
from bench.config.registry import networks
from bench.methods.batch import Batch, Context
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.methods.pairs import led
from bench.methods.paths import VariancePreserving
from bench.training.build import build
from bench.training.trainer import Trainer

A = 0.5  # the teacher's velocity is A x


class Linear(nn.Module):
    """A x, or what straight lines from x0 to e^A x0 have: (e^A - 1) x / (1 + t (e^A - 1))."""

    def __init__(self, straight: bool) -> None:
        super().__init__()
        self.straight, self.seen = straight, list[tuple[Tensor, Tensor]]()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        self.seen.append((t, x))
        slope = torch.tensor(A).exp() - 1
        return slope * x / (1 + t[:, None] * slope) if self.straight else A * x


def test_a_pair_is_noise_and_where_the_teacher_leads_it(rng: torch.Generator) -> None:
    module = nn.ModuleDict({"flow": Linear(True), "teacher": Linear(False)})
    net, method = CountedNetwork(module), Reflow("a teacher", reuse=4, solver="rk4", steps=8)
    loss = method.loss(net, Batch(torch.zeros(10, 2)), Context(rng))
    assert loss.max() < 1e-9
    assert net.rows == 10 + 3 * 8 * 4  # three noises through eight steps of four evaluations
    ((t, x),) = module["flow"].seen
    x0 = x / (1 + t[:, None] * (torch.tensor(A).exp() - 1))
    for first in (0, 4, 8):
        torch.testing.assert_close(x0[first : first + 4], x0[first].expand(len(x0[first : first + 4]), 2))
    assert len(t.unique()) == 10 and not torch.allclose(x0[0], x0[4])


def test_a_teacher_of_another_method_leads_by_its_own_velocity(rng: torch.Generator) -> None:
    """A predicted noise on the VP path, that of a mixture on the line, whose flow keeps quantiles."""
    data, path = GaussianMixture.line(), VariancePreserving()

    class Noise(nn.Module):
        def forward(self, t: Tensor, x: Tensor) -> Tensor:
            return -path.sigma(t[:1]) * data.score(path, t[0], x)

    teacher = Noise()
    teacher.method = DDPM()
    x0 = torch.randn(20, 1, generator=rng, dtype=torch.float64)
    found = led(CountedNetwork(teacher), x0, Solver("rk4", steps=100))
    torch.testing.assert_close(found, transported(data, path, x0), rtol=0, atol=1e-6)


def test_before_its_first_round_it_is_flow_matching(rng: torch.Generator) -> None:
    net = networks["mlp"]((2,), width=8, depth=1)
    parts = CountedNetwork(nn.ModuleDict({"flow": net}))
    x = torch.randn(16, 2, generator=rng)
    losses = [
        method.loss(network, *given(x, rng))
        for method, network, given in (
            (Reflow(), parts, lambda x, rng: (Batch(x), Context(rng.manual_seed(1), progress=0.49))),
            (FlowMatchingOT(), CountedNetwork(net), lambda x, rng: (x, rng.manual_seed(1))),
        )
    ]
    assert torch.equal(*losses)


def trainer(root: Path, ema: float, micro: int, **options: Any) -> Trainer:
    text = SUITE.replace(
        "{ steps = 6, batch = 16 }", f"{{ steps = 6, batch = 16, micro_batch = {micro}, ema = {ema} }}"
    )
    told = {f"reflow.{key}": value for key, value in options.items()}
    run = runs(root, text, baselines=["reflow"], settings=told)[0]
    dataset = components.build_dataset(run.dataset, root)
    module, _ = build(run, dataset, root, root)
    return Trainer("r", run.training, components.build_baseline(run.baseline), module, dataset, run.seed)


@pytest.mark.parametrize(("ema", "micro", "rounds"), [(0.5, 16, 1), (0.0, 16, 1), (0.5, 4, 2)])
def test_the_averaged_flow_becomes_the_teacher_and_a_restart_changes_nothing(
    tmp_path: Path, ema: float, micro: int, rounds: int
) -> None:
    options = {"rounds": rounds, "reuse": 4, "steps": 2}
    whole, path, boundary = trainer(tmp_path, ema, micro, **options), tmp_path / "r.pt", 6 // (rounds + 1)
    taught: list[Tensor] = []
    for step in range(6):
        if step in (boundary, boundary + 1):
            other = trainer(tmp_path, ema, micro, **options)
            whole.save(path)
            assert other.restore(path, lambda text: None) and other.step == step
            assert torch.equal(other.take_step(), whole.take_step())
            for a, b in zip(other.module.state_dict().values(), whole.module.state_dict().values(), strict=True):
                assert torch.equal(a, b)
        else:
            if step == 2 * boundary:
                taught = [p.clone() for p in whole.average.frozen()["flow"].parameters()]
            whole.take_step()
    assert int(whole.module["flow"].training) and not whole.module["last"].training
    assert int(whole.module.share) == rounds
    if taught:  # of the second round
        for kept, average in zip(whole.module["last"].parameters(), taught, strict=True):
            torch.testing.assert_close(kept, average, rtol=1e-6, atol=0)
    assert whole.evaluations() == 6 + (6 - boundary) * 2 * 2 / 4  # of a pair two steps of two, for four samples


def test_no_teacher_is_an_empty_one(tmp_path: Path) -> None:
    (run,) = runs(tmp_path, SUITE, baselines=["reflow"], settings={"reflow.teacher": ""})[:1]
    assert not run.needs
