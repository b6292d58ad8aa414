"""Networks with the inputs that a method asks for, what a method knows of the data, and data that it cannot take."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import owned
import pytest
import torch
from tiny import SUITE, runs
from torch import Tensor, nn

from bench.config.beforehand import check_networks, prepare, validate
from bench.config.components import about, build_network, check_data, check_network
from bench.config.options import checked_options
from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.methods.baseline import About

MLP = Component(name="mlp", options={"width": 8, "depth": 1})
SQUASH = Component(name="concatsquash", options={"width": 8, "depth": 1})


@pytest.fixture
def labelled(points: Dataset) -> Dataset:
    return replace(points, train_labels=torch.arange(512) % 4, test_labels=torch.arange(256) % 3)


@pytest.fixture
def vectors(points: Dataset) -> Dataset:
    return replace(points, given=lambda x: x.repeat(1, 2)[:, :3])


def test_a_method_knows_shape_classes_and_what_is_given(
    labelled: Dataset, vectors: Dataset, images: Dataset, points: Dataset
) -> None:
    assert about(points) == About((2,))
    assert about(labelled) == About((2,), 4)
    assert about(vectors) == About((2,), None, (3,))
    assert about(replace(images, given=lambda k: k.repeat(1, 2, 1, 1))) == About((1, 2, 3), None, (2, 2, 3))


def test_the_deviation_is_of_all_numbers_in_model_space(points: Dataset, images: Dataset) -> None:
    assert about(points).deviation() == pytest.approx(float(points.train.std(correction=0)), rel=5e-4)
    assert about(images).deviation() == pytest.approx(float(images.encode(images.train).std(correction=0)), rel=5e-4)
    many = replace(points, train=torch.arange(40_000.0)[:, None].expand(-1, 2))  # by order: all of it counts
    assert about(many).deviation() == pytest.approx(40_000 / math.sqrt(12), rel=1e-3)
    sides = replace(points, train=torch.tensor([[3.0, -1.0], [3.0, -1.0]]))  # of all dimensions together
    assert about(sides).deviation() == 2.0


@pytest.mark.parametrize("component", [MLP, SQUASH])
def test_a_network_has_the_inputs_that_are_asked_for(component: Component, labelled: Dataset) -> None:
    net = build_network(component, labelled, classes=4, second_time=True, given=5)
    t, x = torch.rand(7), torch.randn(7, 2)
    y = net(t, x, r=t, labels=torch.arange(7) % 4, given=torch.randn(7, 5))
    assert y.shape == (7, 2) and net.classes == 4


def test_what_asks_for_nothing_is_taken_by_every_network(points: Dataset) -> None:
    for component in (MLP, SQUASH):
        plain, same = (
            build_network(component, points, **inputs)
            for inputs in ({}, {"classes": None, "second_time": False, "given": None, "time": True, "out": None})
        )
        assert [p.shape for p in plain.parameters()] == [p.shape for p in same.parameters()]


def test_generator_critic_and_encoder_are_made_of_one_network(points: Dataset, images: Dataset) -> None:
    generator = build_network(MLP, points, shape=(6,), out=2, time=False)
    critic = build_network(MLP, points, out=1, time=False)
    encoder = build_network(MLP, images, out=4, time=False)
    assert generator(torch.randn(5, 6)).shape == (5, 2) and critic(torch.randn(5, 2)).shape == (5, 1)
    assert encoder(torch.randn(5, 1, 2, 3)).shape == (5, 4)


def test_what_the_data_gives_is_passed_by_itself(vectors: Dataset, images: Dataset) -> None:
    net = build_network(MLP, vectors)
    assert net(torch.rand(5), torch.randn(5, 2), given=vectors.given(vectors.test[:5])).shape == (5, 2)
    joined = build_network(MLP, replace(images, given=lambda k: k.float().repeat(1, 2, 1, 1)))
    assert joined(torch.rand(5), torch.randn(5, 3, 2, 3)).shape == (5, 1, 2, 3)


@pytest.mark.parametrize(
    ("component", "inputs", "words"),
    [
        (SQUASH, {"time": False}, "takes no time = False; allowed: adm, mlp, unet"),
        (SQUASH, {"out": 3}, "takes no out = 3; allowed: adm, mlp, unet"),
        (MLP, {"clases": 3}, "unknown input 'clases'; known: .*; did you mean 'classes'"),
        (MLP, {"classes": 0}, "classes = 0: 1 or more are needed"),
        (MLP, {"out": -1}, "out = -1: a number above 0 is needed"),
        (MLP, {"given": 0}, r"given = \(0,\): numbers above 0 are needed"),
    ],
)
def test_an_input_that_a_network_does_not_take_is_one_line(
    points: Dataset, component: Component, inputs: dict[str, Any], words: str
) -> None:
    for build in (build_network, check_network):
        with pytest.raises(UsageError, match=f"^network {component.name}: {words}") as caught:
            build(component, points, **inputs)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (Component(name="gaussian_bridge", options={"m": math.nan}), "m = nan: not a number"),
        (Component(name="gaussian_bridge", options={"m": math.inf}), "m = inf: Input should be a finite number"),
        (Component(name="gaussian", options={"mean": [0.0, math.nan]}), r"mean = \[0.0, nan\]: not a number"),
    ],
)
def test_an_option_is_a_number(component: Component, words: str) -> None:
    with pytest.raises(UsageError, match=f"^dataset {component.name}: {words}$"):
        checked_options(datasets, component)


@pytest.mark.parametrize("key", ["classes", "second_time", "given", "time", "out", "shape"])
def test_what_the_harness_passes_is_no_option(points: Dataset, key: str) -> None:
    with pytest.raises(UsageError, match=f"^network mlp: unknown option '{key}'"):
        build_network(Component(name="mlp", options={key: 1}), points)


@pytest.mark.parametrize(
    ("network", "inputs", "words"),
    [
        ("concatsquash", {"time": False}, "takes no time = False"),
        ("mlp", {"classes": 0}, "classes = 0: 1 or more are needed"),
        ("mlp", {"classes": 2}, ""),
        ("plain", {"given": ()}, ""),  # the method leaves out what the data gives
        ("plain", {}, "takes no given"),
    ],
)
def test_a_network_is_checked_as_the_method_builds_it(
    vectors: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, inputs: dict[str, Any], words: str
) -> None:
    run = runs(tmp_path)[0].model_copy(update={"network": Component(name=network)})
    networks.load()
    monkeypatch.setattr(networks, "_entries", dict(networks._entries) | {"plain": lambda shape: None})
    built: list[nn.Module] = []

    def build(self: object, make: Any, data: object) -> Any:
        built.append(make.network(**inputs))
        return built[0].of_the_built_network_alone

    monkeypatch.setattr(baselines["fm_ot"], "build", build)
    if words:
        with pytest.raises(UsageError, match=f"^network {network}: {words}"):
            check_networks(run, vectors)
    else:
        check_networks(run, vectors)
    assert bool(built) is not bool(words)


def test_a_metric_for_other_data_is_refused_before_anything_starts(tmp_path: Path) -> None:
    run = runs(tmp_path, settings={"evaluation.samples.metrics": ["fid"]})[0]
    with pytest.raises(UsageError, match=r"'fid' is for images, and the data are points; allowed: .*w2"):
        prepare([run], tmp_path)


def test_an_extractor_of_data_s_own_is_refused_before_anything_starts(tmp_path: Path) -> None:
    owned.write(tmp_path, 20)
    for name, words in (
        ("foo", "unknown extractor 'foo'; known"),
        ("digits_cnn", "'digits_cnn' knows its own dataset"),
    ):
        photos = Component(name="folder", options={**owned.OPTIONS["folder"], "extractor": name})
        with pytest.raises(UsageError, match=words):
            prepare([runs(tmp_path)[0].model_copy(update={"dataset": photos})], tmp_path)


def test_what_is_prepared_says_the_size_of_a_sample(tmp_path: Path) -> None:
    points = runs(tmp_path)[0]
    images = runs(tmp_path, SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"'))[0]
    assert prepare([points, images], tmp_path) == {points.run_id: 2, images.run_id: 64}


def test_extractors_that_cannot_be_had_are_refused_before_anything_starts(tmp_path: Path) -> None:
    named = [{"name": "dinov2", "weights": str(tmp_path / "none.pth")}]
    points, digits = (
        runs(tmp_path, text, settings={"evaluation.samples.extractors": named})[0]
        for text in (SUITE, SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"'))
    )
    with pytest.raises(UsageError, match="'dinov2' is for images, and checkerboard holds points"):
        prepare([points], tmp_path)
    with pytest.raises(UsageError, match=r"'dinov2': weights = '.*none.pth': there is no such file"):
        prepare([digits], tmp_path)
    (tmp_path / "none.pth").write_text("something else", encoding="utf-8")
    with pytest.raises(UsageError, match=r"none.pth: holds other weights than dinov2_vits14_pretrain.pth"):
        prepare([digits], tmp_path)


class Lazy(nn.Module):
    """A network whose first layer finds its size by a pass."""

    def __init__(self, classes: int | None = None, given: tuple[int, ...] = (), time: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.LazyLinear(4), nn.Linear(4, 2)

    def forward(self, *inputs: Tensor, given: Tensor | None = None) -> Tensor:
        *t, x = inputs
        more = [each[:, None] for each in t] + ([] if given is None else [given])
        found: Tensor = self.last(self.first(torch.cat([x, *more], 1)))
        return found


def test_a_lazy_network_is_completed_with_its_own_inputs(vectors: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.load()
    builder = lambda shape, given=(), time=True: Lazy()  # noqa: E731
    monkeypatch.setattr(networks, "_entries", dict(networks._entries) | {"lazy": builder})
    sizes = [build_network(Component(name="lazy"), vectors, time=time).first.in_features for time in (True, False)]
    assert sizes == [2 + 1 + 3, 2 + 3]


class Box:
    def draw(self, rng: torch.Generator) -> Tensor:
        return torch.rand(2, generator=rng)


def test_methods_that_need_gaussian_noise_refuse_another_source(points: Dataset, tmp_path: Path) -> None:
    fm_ot, ddpm = runs(tmp_path)
    boxed = replace(points, name="boxed", source=Box())
    check_data(fm_ot, boxed)
    check_data(ddpm, points)
    with pytest.raises(UsageError, match=r"^baseline ddpm: needs noise from N\(0, I\); boxed has a source of its own$"):
        check_data(ddpm, boxed)


def test_no_more_samples_are_drawn_than_there_are_givens(vectors: Dataset, tmp_path: Path) -> None:
    run, _ = runs(tmp_path)
    check_data(run, vectors)
    few = replace(vectors, test=vectors.test[:39])
    with pytest.raises(
        UsageError, match=r"samples\.n = 40: a sample of pair is given a test sample, and there are 39$"
    ):
        check_data(run, few)
    training = run.training.model_copy(update={"curve_points": 1, "curve_n": 30})
    curve = run.model_copy(update={"training": training})
    check_data(curve, vectors)
    with pytest.raises(
        UsageError, match=r"curve_n = 30: a sample of pair is given a validation sample, and there are 29"
    ):
        check_data(curve, replace(vectors, validation=vectors.train[:29]))


def test_runs_that_differ_in_their_seed_alone_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.config import beforehand

    checked: list[str] = []
    monkeypatch.setattr(beforehand, "checked_options", lambda registry, component: checked.append(component.name))
    validate(runs(tmp_path, seeds=range(50)))
    assert checked == ["checkerboard", "mlp"] * 2  # of two methods
