"""One maximum-likelihood training step against FFJORD's formulation, from the weights of a flow in training.

FFJORD (Grathwohl et al. 2019) solves for the state and for the adjoint, and takes one reverse pass a dimension for the
divergence; ours goes back through the accepted steps. Both solve by dopri5 at 1e-5 with the exact divergence. The
optimiser's rate is zero: it does its work, and every round is on the same weights.
"""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from compare import Row, calls, compare
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint
from training_loop import Ours

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.methods.density import log_normal
from bench.methods.network import CountedNetwork

BATCH, STEPS, TOLERANCE = 512, 60, 1e-5
LENGTH = 0.5  # seconds that one side takes in a round


class Augmented(nn.Module):
    """d/dt (x, log-determinant) = (v, div v), counting rows."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.rows = 0

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.rows += len(state[0])
        with torch.enable_grad():
            x = state[0].requires_grad_()
            v = self.module(t.expand(len(x)), x)
            rows = [torch.autograd.grad(v[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(x.shape[1])]
        return v, torch.stack(rows).sum(0)


class Step:
    """One training step, and what it gave."""

    def __init__(self, module: nn.Module, loss: Callable[[], Tensor], counter: CountedNetwork | Augmented) -> None:
        self.optimizer = torch.optim.Adam(module.parameters(), lr=0.0, fused=True)
        self.loss, self.counter = loss, counter
        self.value, self.nfe = 0.0, 0.0

    def __call__(self) -> None:
        self.counter.rows = 0
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.value, self.nfe = float(loss.detach()), self.counter.rows / BATCH


def ffjord(module: nn.Module, x: Tensor) -> Step:
    field = Augmented(module)
    times = torch.tensor([1.0, 0.0])

    def loss() -> Tensor:
        z, log_det = odeint_adjoint(field, (x, x.new_zeros(len(x))), times, rtol=TOLERANCE, atol=TOLERANCE)
        return -(log_normal(z[-1]) + log_det[-1]).mean()

    return Step(module, loss, field)


def ours(module: nn.Module, x: Tensor, compiled: bool) -> Step:
    net, baseline, rng = CountedNetwork(module, compiled), baselines["ffjord"](), torch.Generator()
    return Step(module, lambda: baseline.loss(net, x, rng).mean(), net)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    torch.manual_seed(0)
    dataset, module = datasets["checkerboard"](data_dir), networks["mlp"]((2,), width=64, depth=3, activation="tanh")
    settings = Training(steps=1, batch=BATCH, lr=5e-3, clip=1.0)
    Ours("perf", settings, baselines["ffjord"](), module, dataset, seed=0).run(STEPS)
    x = dataset.test[:BATCH]
    reference = ffjord(copy.deepcopy(module), x)
    repeats = calls(reference, LENGTH)
    for compiled in (False, True):
        name = f"maximum-likelihood step, {'compiled' if compiled else 'eager'}"
        step = ours(copy.deepcopy(module), x, compiled)
        begun = time.perf_counter()
        try:
            step()
        except torch._dynamo.exc.TorchDynamoException as error:  # above all where there is no C++ compiler
            yield Row(name, note=f"torch.compile fails: {str(error).splitlines()[0]}")
            continue
        first = time.perf_counter() - begun
        step()
        note = f"loss {step.value:.5f} and {reference.value:.5f}, NFE {step.nfe:g} and {reference.nfe:g}"
        if compiled:
            note += f", the first step compiled for {first:.0f} s"
        yield compare(
            name,
            lambda step=step: [step() for _ in range(repeats)],
            lambda: [reference() for _ in range(repeats)],
            rounds,
            "steps/s",
            repeats,
            "at least 1.8",
            note,
        )
