"""The dry pass before training: what breaks the contract is refused by its rule, and nothing of the run changes."""

import json
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SUITE, runs
from torch import Tensor, nn

from baselines.ddpm import DDPM
from baselines.ffjord import FFJORD
from baselines.fm_ot import FlowMatchingOT
from bench.config.registry import load_plugin
from bench.config.settings import Component, Evaluation, Likelihood, Samples, Training
from bench.datasets.base import Dataset
from bench.errors import Diverged, NotApplicable, UsageError
from bench.evaluation.quality import Judge
from bench.launch.job import Job
from bench.methods.baseline import Baseline, Phase
from bench.methods.batch import Batch, Context
from bench.methods.model import Draw, Model
from bench.methods.network import Network
from bench.methods.ode import VelocityField
from bench.methods.sampler import Sampler, register_sampler
from bench.networks.mlp import mlp
from bench.training.rehearsal import CALLS, rehearse
from bench.training.sparing import few
from bench.training.trainer import Trainer

EVERYTHING = Evaluation(likelihood=Likelihood(), samples=Samples())


def rehearsed(
    baseline: Baseline,
    dataset: Dataset,
    module: nn.Module | None = None,
    folder: Path = Path("/none"),
    evaluation: Evaluation = EVERYTHING,
    **training: Any,
) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(
        "r",
        Training(steps=4, batch=16, **training),
        baseline,
        module or mlp(dataset.shape, width=8, depth=1),
        dataset,
        0,
    )
    names = {"baseline": Component(name="mine"), "network": Component(name="net")}
    run: Any = SimpleNamespace(**names, training=trainer.settings, evaluation=evaluation)
    rehearse(trainer, run, Judge(dataset, Samples(), folder, "cpu", 0))
    return trainer


def refused(baseline: Baseline, dataset: Dataset, rule: str, module: nn.Module | None = None) -> None:
    with pytest.raises(UsageError, match=rule) as error:
        rehearsed(baseline, dataset, module)
    assert "\n" not in str(error.value)


@pytest.fixture
def line(points: Dataset) -> Dataset:
    return Dataset("line", "1", points.train[:, :1], points.test[:, :1])


class Flat(nn.Module):
    """Answers (B,) to x of (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layer(torch.cat([x, t[:, None]], 1))[:, 0]


@dataclass(frozen=True)
class Mine(FlowMatchingOT):
    """Flow matching with a part of it broken."""

    losing: Callable[[Tensor], Any] = lambda loss: loss
    moving: Callable[[Tensor, Tensor], Any] = lambda v, t: v
    drawing: Callable[[Tensor, Network], Any] | None = None
    called: Any = "own"

    def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
        return self.losing(super().loss(net, x1, rng))

    def velocity(self, net: Network) -> VelocityField:
        return lambda t, x: self.moving(net(t.expand(len(x)), x), t)

    def samplers(self, net: Network) -> dict[str, Draw]:
        draw = self.drawing
        return {self.called: lambda x, rng: draw(x, net)} if draw else {}


@pytest.mark.parametrize("baseline", [FlowMatchingOT(), DDPM(ancestral_steps=4, ddim_steps=3), FFJORD(), Mine()])
def test_what_keeps_the_contract_passes(baseline: Baseline, points: Dataset, line: Dataset) -> None:
    for dataset in (points, line):
        assert rehearsed(baseline, dataset).step == 0


def test_a_network_that_answers_a_vector_is_refused_where_its_loss_would_be_broadcast(line: Dataset) -> None:
    refused(FlowMatchingOT(), line, r"^network net: it answers \(2,\) to x of \(2, 1\)", Flat())
    refused(DDPM(), line, r"^network net: it answers \(2,\) to x of \(2, 1\).*\(2, 2\)", Flat())


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"losing": lambda loss: loss.mean()}, r"^baseline mine: loss of 3 samples is float32 \(\), not one a sample"),
        ({"losing": lambda loss: loss[:, None]}, r"loss of 3 samples is float32 \(3, 1\)"),
        ({"losing": lambda loss: 1.0}, "loss of 3 samples is float, not"),
        ({"losing": lambda loss: loss / 0}, "loss of 3 samples is not finite"),
        ({"losing": lambda loss: loss.detach()}, "loss has no gradient to the network"),
        ({"losing": lambda loss: (loss * 0).sqrt()}, "the gradient of loss is not finite"),
        ({"losing": lambda loss: loss.nothing}, r"loss\(net, x1, rng\) of 3 samples: AttributeError"),
        ({"moving": lambda v, t: v[:, :1]}, r"velocity at x of float32 \(3, 2\) is float32 \(3, 1\)"),
        ({"moving": lambda v, t: v.double()}, r"velocity at x of float32 \(3, 2\) is float64"),
        ({"moving": lambda v, t: v / t}, "velocity at t = 0 is not finite"),
        ({"moving": lambda v, t: v / (1 - t)}, "velocity at t = 1 is not finite"),
        ({"moving": lambda v, t: v.numpy() and v}, r"velocity\(t, x\): "),
        ({"moving": lambda v, t: v.detach()}, r"the divergence of velocity\(net\) of 3 samples: RuntimeError"),
        ({"drawing": lambda x, net: x[:1]}, r"sampler 'own' makes float32 \(1, 2\) of noise float32 \(3, 2\)"),
        ({"drawing": lambda x, net: x / (x * 0)}, "sampler 'own' draws samples that are not finite"),
        ({"drawing": lambda x, net: net(x)}, "network mlp: built with time = True, called with 0 times"),
        ({"drawing": lambda x, net: x.nothing}, "sampler 'own' of 3 samples: AttributeError"),
        ({"drawing": lambda x, net: x, "called": "dormand_prince"}, "_prince' has the name of the ODE's solver"),
        ({"drawing": lambda x, net: x, "called": "samples"}, "'samples' has the name of a stream of random numbers"),
        ({"drawing": lambda x, net: x, "called": "probe-0"}, "'probe-0' has the name of a stream of random numbers"),
    ],
)  # fmt: skip
def test_the_rule_that_a_method_breaks_is_named(points: Dataset, change: dict[str, Any], rule: str) -> None:
    refused(Mine(**change), points, rule)


def test_a_loss_that_changes_with_the_budget_is_tried_near_its_end(points: Dataset) -> None:
    @dataclass(frozen=True)
    class Later(FlowMatchingOT):
        limit: float = 1.0

        def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:
            return super().loss(net, batch.x, ctx.rng) * (math.inf if ctx.progress > self.limit else 1.0)

    rehearsed(Later(), points)
    refused(Later(limit=0.9), points, r"loss of \d samples is not finite at 99\.9% of the budget$")


def test_a_budget_of_evaluations_needs_a_network_that_counts_them(points: Dataset) -> None:
    class Uncounted(FlowMatchingOT):
        def loss(self, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
            return super().loss(net.module, x1, rng)

    rehearsed(Uncounted(), points)
    with pytest.raises(UsageError, match=r"no loss calls net, so training\.evaluations = 99 would never be spent"):
        rehearsed(Uncounted(), points, evaluations=99)
    rehearsed(FlowMatchingOT(), points, evaluations=99)


def test_a_sample_that_is_not_finite_is_for_the_metrics_to_say(points: Dataset) -> None:
    rehearsed(Mine(drawing=lambda x, net: torch.where(x < x.flatten().sort().values[1], float("nan"), x)), points)


def test_a_sampler_is_a_sampler(points: Dataset) -> None:
    class Bare(Mine):
        def samplers(self, net: Network) -> Any:
            return {"own": 3}

    refused(Bare(), points, "sampler 'own' is a int, not a Sampler")


@dataclass(frozen=True)
class Pair(Baseline):
    """A GAN of two linear maps with a density of its own, a part of which is broken."""

    phases: Any = (Phase("critic", "critic"), Phase("generator", "generator"))
    changed: Any = None
    detached: bool = False

    def critic(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        drawn = net["generator"](torch.randn(batch.x.shape, generator=ctx.rng)).detach()
        return (net["critic"](drawn) - net["critic"](batch.x))[:, 0]

    def generator(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        drawn = net["generator"](torch.randn(batch.x.shape, generator=ctx.rng))
        return -net["critic"](drawn.detach() if self.detached else drawn)[:, 0]

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return self.critic(net, batch, ctx)

    def model(self, net: Any) -> Any:
        found = {"samplers": {"one-shot": lambda x0, rng: net["generator"](x0)}}
        return 1 if self.changed == 1 else Model(**(found | (self.changed or {})))


def parts() -> nn.ModuleDict:
    return nn.ModuleDict({"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)})


def test_several_modules_without_a_velocity_are_tried_by_what_they_can(points: Dataset) -> None:
    rehearsed(Pair(), points, parts())
    rehearsed(Pair(changed={"log_prob": lambda x: x.sum(1)}), points, parts())
    rehearsed(Pair(changed={"bound": lambda x, rng: x.sum(1)}), points, parts())


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"detached": True}, r"^baseline mine: generator has no gradient to part 'generator'$"),
        ({"changed": 1}, r"^baseline mine: model\(net\) is a int, not a bench\.Model$"),
        ({"changed": {"samplers": {}}}, "its model has neither a velocity nor a sampler$"),
        ({"changed": {"samplers": 1}}, r"model\(net\): TypeError"),
        ({"changed": {"log_prob": lambda x: x}}, r"log_prob\(x\) of 3 samples is float32 \(3, 2\), not one per sample"),
        ({"changed": {"log_prob": lambda x: x.sum(1) / 0}}, r"log_prob\(x\) of 3 samples is not finite$"),
        ({"changed": {"bound": lambda x: x.sum(1)}}, r"bound\(x, rng\) of 3 samples: TypeError"),
        ({"changed": {"score": lambda t, x: x[:, :1]}}, r"score at x of float32 \(3, 2\) is float32 \(3, 1\)"),
        ({"phases": (Phase("critic", "critic"),)}, "no phase trains part 'generator'; give it a bench.Phase"),
    ],
)  # fmt: skip
def test_a_rule_that_several_modules_break_is_named(points: Dataset, change: dict[str, Any], rule: str) -> None:
    refused(Pair(**change), points, rule, parts())


def test_a_network_that_cannot_be_copied_is_refused(points: Dataset) -> None:
    module = mlp((2,), width=8, depth=1)
    module.lock = threading.Lock()
    refused(FlowMatchingOT(), points, "copied", module)


def test_a_solve_that_diverges_is_no_breach(points: Dataset) -> None:
    class Rough(Mine):
        def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
            raise Diverged("dopri5: underflow")

    rehearsed(Rough(drawing=lambda x, net: x), points)


def test_a_model_that_is_not_applicable_is_refused(points: Dataset) -> None:
    class Picky(Mine):
        def model(self, net: Any) -> Model:
            raise NotApplicable("it needs classes")

    refused(Picky(), points, r"^baseline mine: model\(net\): NotApplicable: it needs classes$")


class Convolution(nn.Module):
    def __init__(self, given: int = 0) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1 + given, 1, 3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.slow
def test_images_go_through_their_features(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (20, 1, 8, 8), generator=draw, dtype=torch.uint8)
    labels = torch.arange(20) % 2
    images = Dataset(
        "dots", "1", small, small, levels=256, train_labels=labels, test_labels=labels, extractor="dots_cnn"
    )
    rehearsed(FlowMatchingOT(), images, Convolution(), tmp_path)
    with pytest.raises(UsageError, match="extractor 'nobody'"):
        rehearsed(FlowMatchingOT(), replace(images, extractor="nobody"), Convolution(), tmp_path)


class Counting(nn.Module):
    """Draws random numbers, and changes a buffer in every pass."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 2))
        self.register_buffer("passes", torch.tensor(0))
        self.calls = 0

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        Counting.everywhere += 1
        self.passes += 1
        return self.layers(torch.cat([x, t[:, None]], 1))

    everywhere = 0


def test_nothing_of_the_run_changes(points: Dataset, tmp_path: Path) -> None:
    def trained(rehearse: bool) -> list[float]:
        torch.manual_seed(0)
        settings, module = Training(steps=4, batch=16, ema=0.9), Counting()
        if rehearse:
            trainer = rehearsed(DDPM(ancestral_steps=3, ddim_steps=2), points, module, ema=0.9)
        else:
            trainer = Trainer("r", settings, DDPM(ancestral_steps=3, ddim_steps=2), module, points, 0)
        assert module.passes == 0 and trainer.net.rows == 0 and all(p.grad is None for p in module.parameters())
        for _ in range(4):
            trainer.take_step()
        state = [*trainer.average.frozen().state_dict().values()]
        return [float(x.double().sum()) for x in state]

    assert trained(True) == trained(False)


def test_no_random_stream_moves(points: Dataset) -> None:
    class Drawing(Mine):
        def loss(self, net: Network, x1: Tensor, rng: torch.Generator) -> Tensor:
            torch.rand(3), random.random(), np.random.rand()
            return super().loss(net, x1, rng)

    def numbers() -> list[float]:
        return [float(torch.rand(())), random.random(), float(np.random.rand())]

    def seeded() -> None:
        torch.manual_seed(5), random.seed(5), np.random.seed(5)

    seeded()
    expected = numbers()
    module = mlp((2,), width=8, depth=1)
    trainer = Trainer("r", Training(steps=4, batch=16), Drawing(), module, points, 0)
    names = {"baseline": Component(name="mine"), "network": Component(name="net")}
    run: Any = SimpleNamespace(**names, training=trainer.settings, evaluation=EVERYTHING)
    seeded()
    rehearse(trainer, run, Judge(points, Samples(), Path("/none"), "cpu", 0))
    assert numbers() == expected


@pytest.mark.slow
def test_a_thousand_steps_of_a_large_network_cost_a_few_evaluations(
    points: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three are for the velocity, one for the loss and one for a solve; the shape of samples is known all the same."""
    monkeypatch.setattr("bench.training.rehearsal.WORK", 1.0)
    Counting.everywhere = 0
    rehearsed(DDPM(), points, Counting())
    assert Counting.everywhere == 3 + 1 + 2 * CALLS[0] + 1
    with pytest.raises(UsageError, match="sampler 'own' makes"):
        rehearsed(Mine(drawing=lambda x, net: sum(net(x[:, 0], x) for _ in range(99))[:1]), points, Counting())
    both = nn.ModuleDict({"a": nn.Identity(), "b": nn.Identity()})
    with few(both, 2) as spared:
        assert [float(both[name](torch.ones(1))) for name in "aabaa"] == [1, 1, 1, 0, 0]
        assert set(spared) == {both["a"]} and both["b"](torch.ones(1)) == 1
        assert both["a"](torch.ones(3)).tolist() == [0, 0, 0]
    assert both["a"](torch.ones(1)) == 1  # and afterwards as often as one likes


@dataclass(frozen=True)
class Short(Sampler):
    """Draws too few samples of a model with a score."""

    steps: int = 3
    needs = ("score",)

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        return x0[:1]


@pytest.mark.parametrize("where", ["samples", "sweep"])
@pytest.mark.usefixtures("own_entries")
def test_a_sampler_that_the_suite_names_is_tried(points: Dataset, where: str) -> None:
    register_sampler("short")(Short)
    named = {"samples": {"samplers": ({"name": "short"},)}, "sweep": {"samplers": ({"name": "short"},), "nfe": (4, 8)}}
    evaluation = Evaluation.model_validate({"samples": {}, where: named[where]})
    with pytest.raises(UsageError, match=r"^baseline mine: sampler 'short' makes float32 \(1, 2\) of noise"):
        rehearsed(DDPM(ancestral_steps=4, ddim_steps=3), points, evaluation=evaluation)
    rehearsed(Pair(), points, parts(), evaluation=evaluation)  # without a score it is not applicable
    usual = Evaluation.model_validate({"samples": {}, "sweep": {"solvers": ["midpoint"]}})
    rehearsed(Mine(), points, evaluation=usual)


def test_a_sampler_that_the_suite_names_is_not_another_of_the_models_own(points: Dataset) -> None:
    evaluation = Evaluation.model_validate({"samples": {"samplers": ({"name": "euler", "steps": 3},)}})
    with pytest.raises(UsageError, match=r"the model of baseline .* another sampler of its own named 'euler-3'$"):
        rehearsed(Mine(called="euler-3", drawing=lambda x, net: x), points, evaluation=evaluation)


PLUGIN = """
import torch
from torch import nn
from bench.datasets.base import Dataset
from bench.config.registry import register_dataset, register_network

@register_dataset("rehearsal_line")
def line(data_dir):
    g = torch.Generator().manual_seed(0)
    train, test = torch.randn(64, 1, generator=g), torch.randn(40, 1, generator=g)
    return Dataset(name="line", version="1", train=train, test=test)

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
    def forward(self, t, x):
        return self.layer(torch.cat([x, t[:, None]], 1))[:, 0]

@register_network("rehearsal_flat")
def flat(shape):
    return Flat()

@register_network("rehearsal_frozen")
def frozen(shape):
    return Flat().requires_grad_(False)

@register_network("rehearsal_function")
def function(shape):
    return lambda t, x: x
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("plugin") / "plugin.py"
    path.write_text(PLUGIN)
    load_plugin(str(path))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("rehearsal_flat", "network rehearsal_flat: it answers (2,) to x of (2, 1)"),
        ("rehearsal_frozen", "network rehearsal_frozen: it has no parameter that can be trained"),
        ("rehearsal_function", "network rehearsal_function: its builder gives a function, not an nn.Module"),
    ],
)
def test_a_run_that_breaks_a_rule_ends_before_its_first_step(
    plugin: None, tmp_path: Path, network: str, reason: str
) -> None:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"rehearsal_line"')
    text = text.replace('{ name = "mlp", width = 8, depth = 1 }', f'"{network}"')
    run = runs(tmp_path, text)[0]
    job = Job(run, tmp_path / "results", tmp_path / "data")
    assert job() == "failed"
    record = json.loads((job.folder / "train.json").read_text())
    assert record["status"] == "failed" and record["error"].startswith(reason)
    assert not (job.folder / "checkpoint.pt").exists()


@dataclass(frozen=True)
class Classed(FlowMatchingOT):
    """With classes, which its density is given, too."""

    def loss(self, net: Network, batch: Batch, ctx: Context) -> Tensor:  # type: ignore[override]
        return super().loss(net, batch.x, ctx.rng)


def test_each_sample_has_its_class_wherever_it_is_tried(points: Dataset) -> None:
    classes = torch.arange(1000) % 3
    labelled = replace(points, train_labels=classes[: len(points.train)], test_labels=classes[: len(points.test)])
    rehearsed(Classed(), labelled, mlp((2,), width=8, depth=1, classes=3))


def test_labels_that_reach_no_network_are_refused(points: Dataset) -> None:
    kinds = torch.arange(len(points.train)) % 3
    labelled = replace(points, train_labels=kinds, test_labels=kinds[: len(points.test)])
    rehearsed(FlowMatchingOT(labels=True), labelled, mlp((2,), width=8, depth=1, classes=3))
    rule = r"baseline fm_ot: labels = true, yet its build passes no \*\*self.inputs\(data\) to make.network"
    with pytest.raises(UsageError, match=rule.replace("fm_ot", "mine")):
        rehearsed(FlowMatchingOT(labels=True), labelled)
