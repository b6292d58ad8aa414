"""`--plugin FILE --check` on files that break a rule: one line says which, in the words of the contract."""

from pathlib import Path

import pytest

import run_all

HEAD = """
from dataclasses import dataclass
import torch
from bench import FlowBaseline, Sampler, noise, mean_square
from bench import register_baseline, register_dataset, register_network, register_sampler, register_metric
from bench import register_figure
"""
BROKEN = {
    "a loss of the batch": (
        """
@register_baseline("mine", label="Mine")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    def loss(self, net, x1, rng):
        return mean_square(net(x1[:, 0], x1) - x1).mean()
""",
        ["baseline mine, on points, a restart", "loss of 3 samples is float32 (), not one a sample, (3,)"],
    ),
    "a loss that draws elsewhere": (
        """
import random
@register_baseline("mine", label="Mine")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    def loss(self, net, x1, rng):
        return mean_square(net(x1[:, 0], x1) - x1) * random.random()
""",
        ["baseline mine, on points, a restart", "after a restart: a loss draws from ctx.rng alone"],
    ),
    "a flow whose parts are no velocity": (
        """
@register_baseline("mine", label="Mine")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    def build(self, make, data):
        return torch.nn.ModuleDict({"field": make.network()})
    def loss(self, net, x1, rng):
        return mean_square(net["field"](torch.rand(len(x1), generator=rng), x1) - x1)
""",
        [
            "baseline mine, on points, a restart",
            "with network mlp: velocity(t, x): NotImplementedError: Module [ModuleDict]",
        ],
    ),
    "an option without a default": (
        """
@register_baseline("mine", label="Mine")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    weight: float
    def loss(self, net, x1, rng): ...
""",
        ["baseline mine, options: option weight has no default"],
    ),
    "a network of other shapes": (
        """
class Wide(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer = torch.nn.Linear(shape[-1], 3)
    def forward(self, t, x):
        return self.layer(x)
@register_network("mine")
def mine(shape):
    return Wide(shape)
""",
        ["network mine, on points, its answer: net(t, x) of x (3, 2) is (3, 3)"],
    ),
    "a network that mixes samples": (
        """
class Mixing(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer = torch.nn.Linear(shape[-1], shape[-1])
    def forward(self, t, x):
        return self.layer(x) - x.mean(0)
@register_network("mine")
def mine(shape):
    return Mixing(shape)
""",
        ["network mine, on points, its answer: net(t, x) of a sample hangs on its batch"],
    ),
    "a network that cannot be built": (
        """
@register_network("mine")
def mine(shape):
    return 1 / 0
""",
        ["network mine, what to check: ZeroDivisionError: division by zero"],
    ),
    "data that changes": (
        """
from dataclasses import replace
from bench.config.registry import datasets
@register_dataset("mine")
def mine(data_dir):
    return replace(datasets["moons"](data_dir, 64, 64), name="mine", train=torch.rand(64, 2))
""",
        ["dataset mine, contract: built twice, it holds two different sets of values"],
    ),
    "a sampler that draws elsewhere": (
        """
@register_sampler("mine")
@dataclass(frozen=True)
class Mine(Sampler):
    def sample(self, model, x0, rng):
        return 1 + torch.randn_like(x0)
""",
        ["sampler mine, on OptimalTransport", "rng is the only randomness"],
    ),
    "a sampler that goes the wrong way": (
        """
@register_sampler("mine")
@dataclass(frozen=True)
class Mine(Sampler):
    def sample(self, model, x0, rng):
        return x0 - 1
""",
        ["sampler mine, on OptimalTransport", "mean -", "of an exact N(1, 0.5^2)"],
    ),
    "a metric of the wrong direction": (
        """
@register_metric("mine", title="Mine", direction="higher", data="points")
def mine(x, reference, dataset, rng):
    return torch.cdist(x, reference).min(1).values.mean().item()
""",
        ["metric mine, on points, of data and of noise: direction 'higher', yet "],
    ),
    "a figure that fails": (
        """
@register_figure("mine", title="Mine", arrays={"samples": 2})
def mine(data):
    return data.nothing
""",
        ["figure mine, drawn: figure mine of checkerboard: AttributeError"],
    ),
}


@pytest.mark.slow
@pytest.mark.usefixtures("own_entries")
@pytest.mark.parametrize("what", BROKEN)
def test_what_is_missing_is_said(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    text, words = BROKEN[what]
    (tmp_path / "mine.py").write_text(HEAD + text, encoding="utf-8")
    code = run_all.main(["--plugin", str(tmp_path / "mine.py"), "--check", "--data-dir", str(data_dir)])
    out = capsys.readouterr().out
    failed = [line for line in out.splitlines() if line.startswith("FAILED ")]
    assert code == 1
    assert any(all(word in line for word in words) for line in failed), out


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.usefixtures("own_entries")
def test_nothing_to_check_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main(["--check"]) == 2
    assert capsys.readouterr().err.endswith("error: --check: name the file to check, as --plugin FILE\n")
    (tmp_path / "empty.py").write_text("", encoding="utf-8")
    assert run_all.main(["--plugin", str(tmp_path / "empty.py"), "--check"]) == 2
    assert capsys.readouterr().err.endswith("empty.py registers nothing\n")


STUDENT = """
@register_baseline("student", label="Student")
@dataclass(frozen=True)
class Student(FlowBaseline):
    teacher: str
    def build(self, make, data):
        return torch.nn.ModuleDict({"student": make.network(), "teacher": make.pretrained(self.teacher)})
    def loss(self, net, x1, rng):
        t = torch.rand(len(x1), generator=rng)
        return mean_square(net["student"](t, x1) - net["teacher"](t, x1))
    def velocity(self, net):
        return lambda t, x: net["student"](t.expand(len(x)), x)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("own_entries")
def test_a_student_gets_a_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    (tmp_path / "student.py").write_text(HEAD + STUDENT, encoding="utf-8")
    code = run_all.main(["--plugin", str(tmp_path / "student.py"), "--check", "--data-dir", str(data_dir)])
    out = capsys.readouterr().out
    assert code == 0 and "baseline student, on points, a teacher: train" in out, out
