"""A trained network is compiled for full batches alone, once per shape, and draws what it draws as it is."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import runs
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from bench.datasets.base import Dataset
from bench.evaluation.stages import Stages
from bench.evaluation.trained import Trained
from bench.launch.task import Task
from bench.methods.compilation import Compilation
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.networks.mlp import mlp
from bench.samplers.ode import sampler_of

WAY = sampler_of(Solver("euler", steps=4))


class Compiler:
    """In the place of torch.compile: forms call the module, and say of how many rows and with which keywords."""

    def __init__(self, fault: type[Exception] | None = None) -> None:
        self.fault, self.modules, self.calls = fault, list[nn.Module](), list[tuple[int, list[str]]]()

    def __call__(self, module: nn.Module, dynamic: bool | None = None) -> Callable[..., Tensor]:
        assert dynamic is False
        self.modules.append(module)

        def form(*inputs: Tensor, **named: Any) -> Tensor:
            if self.fault:
                raise self.fault("no such kernel")
            self.calls.append((len(inputs[-1]), sorted(named)))
            return module(*inputs, **named)

        return form


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    found = Compiler()
    monkeypatch.setattr(torch, "compile", found)
    return found


@pytest.fixture
def points() -> Dataset:
    return Dataset("points", "1", torch.randn(8, 2), torch.randn(8, 2))


def trained(points: Dataset, batch: int) -> Trained:
    torch.manual_seed(0)
    net = mlp((2,), width=8, depth=2).eval().requires_grad_(False)
    return Trained(FlowMatchingOT(), net, points, 0, "cpu", compilation=Compilation(batch))


def samples(this: Trained, n: int = 25, batch: int = 10) -> tuple[Tensor, list[float]]:
    parts = list(this.batches("x", WAY, n, batch))
    return torch.cat([part.x for part in parts]), [part.nfe for part in parts]


def test_full_batches_are_compiled_and_the_last_one_is_not(points: Dataset, compiler: Compiler) -> None:
    """The first call of a shape is made twice, and is counted once."""
    expected, nfe = samples(trained(points, 0))
    assert not compiler.modules
    this = trained(points, 10)
    found, counted = samples(this)
    assert torch.equal(found, expected) and counted == nfe == [4, 4, 4]
    assert compiler.modules == [this.module] and compiler.calls == [(10, [])] * (1 + 4 + 4)
    samples(this, n=8, batch=8)
    this.draw(WAY, 0, 10)
    assert len(compiler.modules) == 1 and len(compiler.calls) == 9


def test_a_batch_has_no_seconds_of_the_compiler(
    points: Dataset, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that compiling alone moves."""
    clock = [0.0]

    def slow(module: nn.Module, dynamic: bool) -> Callable[..., Tensor]:
        clock[0] += 100
        return compiler(module, dynamic)

    monkeypatch.setattr(torch, "compile", slow)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    this = trained(points, 10)
    assert [part.seconds for part in this.batches("x", WAY, 25, 10)] == [0, 0, 0]
    assert clock[0] == this.compilation.seconds == 100


def test_gradients_and_eager_calls_go_through_the_module(points: Dataset, compiler: Compiler) -> None:
    this = trained(points, 10)
    x, t = torch.ones(10, 2), torch.zeros(10)
    with this.compilation.drawing(10):
        net = this.network(0, 10)
        net(t, x.requires_grad_()).sum().backward()
        with torch.no_grad():
            net.eager(t, x)
        assert not compiler.modules
        with torch.no_grad():
            net(t, x)
    assert len(compiler.modules) == 1


def test_parts_and_keywords_have_forms_of_their_own(compiler: Compiler) -> None:
    class Told(nn.Module):
        classes = 3

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            return x

    compilation = Compilation(4)
    whole = nn.ModuleDict({"a": Told(), "b": Told()})
    net = CountedNetwork(whole, labels=torch.arange(4) % 3, calls=compilation.of)
    with torch.no_grad(), compilation.drawing(4):
        for _ in range(2):
            net["a"](torch.ones(4, 2)), net["a"](torch.ones(4, 2), labels=None), net["b"](torch.ones(4, 2))
    assert [module is whole["a"] for module in compiler.modules] == [True, True, False] and net.rows == 24


def test_what_cannot_be_compiled_is_evaluated_as_it_is(
    points: Dataset, compiler: Compiler, caplog: pytest.LogCaptureFixture
) -> None:
    compiler.fault = RuntimeError
    with caplog.at_level(logging.WARNING):
        found = samples(trained(points, 10))
    assert torch.equal(found[0], samples(trained(points, 0))[0])
    assert caplog.messages == ["MLP is evaluated as it is: it cannot be compiled (RuntimeError: no such kernel)"]
    compiler.fault = torch.OutOfMemoryError  # for Memory, which cuts the batch
    with pytest.raises(torch.OutOfMemoryError):
        this = trained(points, 10)
        this.memory.rows = 1
        with this.compilation.drawing(10), torch.no_grad():
            this.network(0, 1)(torch.zeros(1), torch.ones(1, 2))


@pytest.mark.slow
def test_a_run_is_evaluated_compiled_where_it_is_trained_so(tmp_path: Path) -> None:
    (run,) = runs(tmp_path, seeds=(0,), baselines=("fm_ot",))
    stages = Stages(Task(run, tmp_path / "results", tmp_path / "data"), lambda text: None)

    def batch(is_compiled: bool) -> int:
        training = run.training.model_copy(update={"compile": is_compiled})
        stages.run = run.model_copy(update={"training": training})
        return stages._evaluator(stages.trainer.module, stages.judge).repeat(1).trained.compilation.batch

    assert run.evaluation.samples and (batch(False), batch(True)) == (0, run.evaluation.samples.batch)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What torch.compile itself compiles, with a backend that counts and leaves the operators as they are."""
    found: list[Any] = []

    def count(graph: Any, inputs: Any) -> Any:
        found.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    yield found
    torch.compiler.reset()


@pytest.mark.slow
def test_torch_compiles_once_for_all_times_batches_and_copies(points: Dataset, graphs: list[Any]) -> None:
    expected, _ = samples(trained(points, 0))
    for _ in range(3):  # a point of the curve has a copy of its own
        this = trained(points, 10)
        torch.testing.assert_close(samples(this)[0], expected)
        torch.testing.assert_close(samples(replace(this, seed=0), n=23)[0], expected[:23])
    assert len(graphs) == 1


@pytest.mark.slow
def test_every_shape_is_compiled_and_so_is_a_training_after_them(graphs: list[Any]) -> None:
    """torch.compile by itself stops after eight of one source."""
    net = mlp((2,), width=8, depth=2)
    for batch in range(16, 27):
        compilation = Compilation(batch)
        with torch.no_grad(), compilation.drawing(batch):
            compilation.of(net)(torch.zeros(batch), torch.ones(batch, 2))
    assert len(graphs) == 11
    CountedNetwork(net.train(), compiled=True)(torch.zeros(9), torch.ones(9, 2)).sum().backward()
    assert len(graphs) == 12
