"""What every registered baseline must do. A new file in baselines/ is tested with no other line."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import owned
import pytest
import torch
from oracles import drawn, trained
from tiny import UNET2D, awake
from torch import Tensor, nn

from bench.command.check import checks_of
from bench.command.listing import SEVEN
from bench.command.tiny import Workshop
from bench.config.registry import baselines
from bench.errors import NotApplicable, UsageError
from bench.methods.baseline import About, Baseline, Phase, losses
from bench.methods.batch import Batch, Context
from bench.methods.flow import FlowBaseline, field_of
from bench.methods.labelled import LabelledBaseline
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver, VelocityField
from bench.methods.sampler import Sampler
from bench.networks.mlp import mlp
from bench.networks.unet import unet
from bench.samplers.ode import sampler_of

SHAPES = {"points": (2,), "images": (1, 8, 8)}
DATA = About((2,), deviation=lambda: 0.5)  # what a method is told of the numbers


class Convolution(nn.Module):
    """A small network on images, smooth enough for second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None, None, None].expand_as(x)], 1))


class Given(nn.Module):
    """A network that is also given something, the same for every sample, as those of baselines that need it are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(t, x + 0.5)


def network(shape: Sequence[int]) -> nn.Module:
    torch.manual_seed(0)
    return Given(mlp(tuple(shape), width=16, depth=2) if len(shape) == 1 else Convolution())


class Making:
    """The `make` of a method on samples of a shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def network(self, **inputs: Any) -> nn.Module:
        if not inputs:
            return network(self.shape)
        points = len(self.shape) == 1
        build = partial(mlp, width=16, depth=2) if points else partial(unet, channels=[8], layers=1, head_channels=8)
        return awake(build(inputs.pop("shape", self.shape), **inputs))

    def pretrained(self, teacher: str, **inputs: Any) -> nn.Module:
        return self.network(**inputs).requires_grad_(False)


def built(baseline: Baseline, shape: Sequence[int]) -> nn.Module:
    return baseline.build(Making(shape), About(tuple(shape), classes=3))


def loss_of(baseline: Baseline, phase: Phase, module: nn.Module, x: Tensor, rng: torch.Generator) -> Tensor:
    """The loss of a phase, of samples with classes."""
    rows = torch.arange(len(x))
    net = CountedNetwork(module, labels=rows % 3)
    average = CountedNetwork(module, labels=rows % 3, gradients=False)
    return losses(baseline, phase, net, Batch(x, rows % 3, None, rows), Context(rng, averaged=lambda: average))


def data(shape: Sequence[int], n: int = 16) -> Tensor:
    """A batch with structure: two clusters."""
    draw = torch.Generator().manual_seed(1)
    centres = torch.randint(0, 2, (n, *[1 for _ in shape]), generator=draw) * 1.2 - 0.6
    return centres + 0.2 * torch.randn((n, *shape), generator=draw)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=list(baselines))
def cls(request: pytest.FixtureRequest) -> type[Baseline]:
    return baselines[request.param]


@pytest.fixture
def baseline(cls: type[Baseline]) -> Baseline:
    return cls(**OPTIONS.get(cls.name, {})).for_data(DATA)


@pytest.fixture(params=[name for name, entry in baselines.items() if issubclass(entry, FlowBaseline)])
def flow(request: pytest.FixtureRequest) -> FlowBaseline:
    return baselines[request.param]().for_data(DATA)


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return SHAPES[request.param]


# What it says of itself.


def test_it_is_named_and_labelled(cls: type[Baseline]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)
    assert baselines[cls.name] is cls
    assert cls.label
    assert [other for other in baselines.values() if other.label == cls.label] == [cls]


def test_its_file_is_short_and_opens_with_its_equation_and_its_paper(cls: type[Baseline]) -> None:
    if not cls.__module__.startswith("baselines."):
        pytest.skip("not in this project")
    text = Path(inspect.getfile(cls)).read_text()
    assert 15 <= len(text.splitlines()) <= 70
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert re.search(r"\bL = ", docstring), "no equation of the loss"
    assert re.search(r"\b(19|20)\d\d\b", docstring), "no year of its paper"
    assert not re.search(r"^(from|import) baselines", text, re.MULTILINE), "imports another baseline"


# Its losses, one per phase.


def test_loss_is_one_finite_number_a_sample(baseline: Baseline, shape: tuple[int, ...]) -> None:
    module = built(baseline, shape)
    for phase in baseline.phases:
        loss = loss_of(baseline, phase, module, data(shape), seeded(0))
        assert loss.shape == (16,) and loss.dtype == torch.float32
        assert torch.isfinite(loss).all()


def test_each_loss_reaches_every_parameter_of_its_part(baseline: Baseline, shape: tuple[int, ...]) -> None:
    module, trained = built(baseline, shape), set[int]()
    for phase in baseline.phases:
        module.zero_grad(set_to_none=True)
        loss_of(baseline, phase, module, data(shape), seeded(0)).mean().backward()
        for name, parameter in (module if phase.part is None else module.get_submodule(phase.part)).named_parameters():
            trained.add(id(parameter))
            if parameter.requires_grad:
                assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
                assert parameter.grad.abs().max() > 0, name
    assert all(id(p) in trained for p in module.parameters() if p.requires_grad), "a part that no phase trains"


def test_the_generator_is_the_only_randomness(baseline: Baseline, shape: tuple[int, ...]) -> None:
    module, x = built(baseline, shape), data(shape)
    for phase in baseline.phases:
        torch.manual_seed(1)
        first = loss_of(baseline, phase, module, x, seeded(0))
        torch.manual_seed(2)
        before = torch.get_rng_state()
        assert torch.equal(loss_of(baseline, phase, module, x, seeded(0)), first)
        assert torch.equal(torch.get_rng_state(), before)
        used = seeded(0)
        loss_of(baseline, phase, module, x, used)
        if torch.equal(used.get_state(), seeded(0).get_state()):
            continue  # its loss is not random at all, like an exact likelihood
        assert not torch.equal(loss_of(baseline, phase, module, x, seeded(3)), first)


# Where a loss is weighted by its own inverse, it is 1 for good and all.
FALLING: dict[str, dict[str, Any]] = {"meanflow": {"p": 0.0, "times": "uniform"}}


@pytest.mark.slow
def test_training_lowers_the_loss(cls: type[Baseline], shape: tuple[int, ...]) -> None:
    baseline = cls(**OPTIONS.get(cls.name, {}) | FALLING.get(cls.name, {})).for_data(DATA)
    if len(baseline.phases) > 1:
        pytest.skip("what one phase gains another loses")
    (phase,) = baseline.phases
    module, x, rng = built(baseline, shape), data(shape, 32), seeded(0)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)

    def now() -> float:
        return sum(loss_of(baseline, phase, module, x, seeded(s)).mean().item() for s in range(4)) / 4

    before = now()
    for _ in range(15):
        optimizer.zero_grad()
        loss_of(baseline, phase, module, x, rng).mean().backward()
        optimizer.step()
    assert now() < before


# Its model.


def test_its_model_draws_samples_and_says_what_it_lacks(baseline: Baseline, shape: tuple[int, ...]) -> None:
    model = baseline.model(CountedNetwork(built(baseline, shape)))
    assert isinstance(model, Model)
    assert model.velocity or model.samplers, "nothing to draw by"
    for capability in ("velocity", "score", "eps", "flow_map", "consistency", "log_prob", "bound"):
        if getattr(model, capability) is None:
            with pytest.raises(NotApplicable, match=r"\w+ \w+"):
                model.having(capability)
    assert model.absent.keys() <= {f.name for f in dataclasses.fields(Model)}
    for capability in ("log_prob", "bound"):
        if found := getattr(model, capability):
            x = data(shape)
            value = found(x) if capability == "log_prob" else found(x, seeded(0))
            assert value.shape == (len(x),) and torch.isfinite(value).all()


# Its ODE and its samplers.


def test_velocity_is_finite_on_the_whole_interval(flow: FlowBaseline, shape: tuple[int, ...]) -> None:
    f, x = flow.velocity(CountedNetwork(built(flow, shape))), data(shape)
    assert 0.99 < flow.t_end <= 1
    for t in (0.0, 0.5, flow.t_end):
        v = f(torch.tensor(t), x)
        assert v.shape == x.shape and v.dtype == x.dtype
        assert torch.isfinite(v).all()
    together = f(torch.tensor(0.3), x)
    alone = torch.cat([f(torch.tensor(0.3), one) for one in x.split(1)])
    torch.testing.assert_close(together, alone)  # a sample does not feel its batch


def test_velocity_evaluates_the_network_once(flow: FlowBaseline, shape: tuple[int, ...]) -> None:
    net = CountedNetwork(built(flow, shape))
    flow.velocity(net)(torch.tensor(0.3), data(shape))
    assert net.rows == len(data(shape))


def test_samples_of_an_untrained_network_are_finite_and_counted(flow: FlowBaseline, shape: tuple[int, ...]) -> None:
    module = built(flow, shape)
    calls: list[int] = []
    for part in module.values() if isinstance(module, nn.ModuleDict) else [module]:
        part.register_forward_hook(lambda *_: calls.append(1))
    this = trained(flow, shape, module=module)
    x, nfe = drawn(this, sampler_of(Solver("midpoint", steps=4)), 8, 8)
    assert x.shape == (8, *shape) and torch.isfinite(x).all()
    assert nfe == len(calls) == 8


def test_native_samplers_take_the_steps_of_their_names(cls: type[Baseline], shape: tuple[int, ...]) -> None:
    short = {f.name: 6 for f in dataclasses.fields(cls) if f.name.endswith("_steps")}
    method = cls(**short).for_data(DATA)
    net = CountedNetwork(built(method, shape))
    model = method.model(net)
    for name, sampler in model.samplers.items():
        net.rows = 0
        x0 = torch.randn((8, *shape), generator=seeded(0))
        draw = partial(sampler.draw, model) if isinstance(sampler, Sampler) else sampler
        with torch.no_grad():
            x = draw(x0, seeded(1))
            steps = name.rpartition("-")[2]
            a_draw = int(steps) if steps.isdigit() else 1
            if isinstance(sampler, Sampler) and sampler.evaluations:
                assert getattr(sampler, "steps", a_draw) == a_draw, name
                a_draw = sampler.evaluations
            assert net.rows == 8 * a_draw, name
            assert x.shape == x0.shape and x.dtype == x0.dtype and torch.isfinite(x).all(), name
            assert torch.equal(draw(x0, seeded(1)), x), name


# Classes and their guidance.


def test_a_method_that_may_be_told_classes_is_guided_by_them(cls: type[Baseline], shape: tuple[int, ...]) -> None:
    if not issubclass(cls, LabelledBaseline):
        pytest.skip("no option labels")
    told = cls(labels=True).for_data(DATA)
    module, x, t = built(told, shape), data(shape, 4), torch.tensor(0.3)
    assert torch.isfinite(loss_of(told, told.phases[0], module, x, seeded(0))).all()
    for parameter in module.parameters():  # some of which begin at zero
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=seeded(4))

    def answer(labels: Tensor, scale: float | None = None) -> Tensor:
        model = told.model(CountedNetwork(module, labels=labels))
        model = model if scale is None else model.having("guidance")(scale)
        field: VelocityField = model.velocity or model.having("consistency")
        with torch.no_grad():
            return field(t, x)

    rows = torch.arange(len(x)) % 3
    free, of_class = answer(torch.full_like(rows, -1)), answer(rows)
    assert not torch.allclose(free, of_class)
    for scale in (0.0, 1.0, 2.5):
        combined = free + scale * (of_class - free)
        torch.testing.assert_close(answer(rows, scale), combined, rtol=1e-3, atol=1e-3 * float(combined.abs().max()))
    with pytest.raises(NotApplicable, match="needs data with classes"):
        told.build(Making(shape), About(shape))


# What `--check` tries of a plugin, over all that comes with the project.

DOWNLOADED = ("mnist", "fashion_mnist", "cifar10", "imagenet")
OPTIONS: dict[str, dict[str, Any]] = {
    "adm": {"channels": 32, "multiples": [1], "attention": [8]},
    "ddpm": {"ancestral_steps": 20, "ddim_steps": 5},
    "sr3": {"ancestral_steps": 20},
    "realnvp": {"layers": 2},
    "nice": {"layers": 2},
    "diffusers_unet": {"config": UNET2D},
    **owned.OPTIONS,
}
ENTRIES = [
    (registry.kind, name)
    for registry in SEVEN
    for name in registry
    if not (registry.kind == "dataset" and name.startswith(DOWNLOADED))
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    data_dir = tmp_path_factory.mktemp("data")
    owned.write(data_dir)
    return Workshop(tmp_path_factory.mktemp("records"), data_dir, options=OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_it_passes_the_checks(kind: str, name: str, workshop: Workshop) -> None:
    """All but the stages, which the suites' tests go through. A metric of Gaussian data finds none here."""
    for what, act in checks_of(kind, name, workshop):
        if "stages" in what or "sweep" in what:
            continue
        try:
            assert isinstance(act(), str), what
        except NotApplicable as reason:
            assert (name, str(reason)) == ("gaussian_kl", "checkerboard is not Gaussian")


# The contract itself.


def test_only_a_baseline_can_be_registered_as_one() -> None:
    from bench.methods.baseline import register_baseline

    register: Callable[[type], type] = register_baseline("conformance_probe", label="Probe")
    with pytest.raises(UsageError, match=r"not a subclass of bench\.Baseline"):
        register(dict)
    assert "conformance_probe" not in list(baselines)


def test_a_method_that_is_not_there_is_missed_at_once() -> None:
    from bench.methods.baseline import register_baseline

    class Half(FlowBaseline):
        def velocity(self, net: Any) -> VelocityField:
            return field_of(net)

    with pytest.raises(UsageError, match=r"^baseline 'conformance_half': Half lacks loss"):
        register_baseline("conformance_half", label="Half")(Half)
    assert "conformance_half" not in list(baselines)
