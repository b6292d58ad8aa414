"""Models that can do some things and not others: the stages measure what there is, exactly, and say what is not."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from oracles import Idle
from torch import Tensor, nn

from bench.config.settings import Likelihood, Samples, Solve, Sweep
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError
from bench.evaluation.curve import measure_curve
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.likelihood import measure_likelihood
from bench.evaluation.parts import Parts
from bench.evaluation.pictures import Shown
from bench.evaluation.quality import Judge
from bench.evaluation.samples import measure_samples
from bench.evaluation.sweep import measure_sweep
from bench.evaluation.trained import Trained
from bench.methods.baseline import Baseline
from bench.methods.memory import Memory
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport
from bench.metrics.metric import FLOOR
from bench.metrics.w2 import wasserstein2
from bench.records.records import Measurement
from bench.report.artefacts import stage_of
from bench.samplers.ode import Euler
from bench.training.seeds import generator

SAMPLES = Samples(n=20, batch=8, w2_n=10, path_n=6, path_times=3, solver=Solve(method="midpoint", steps=2))
LIKELIHOOD = Likelihood(n=12, batch=5, solvers=(Solve(rtol=1e-7, atol=1e-7),))
FEW = Likelihood(n=10, batch=5)
Stage = Callable[[Evaluator, Parts], None]
STAGES: dict[str, Stage] = {
    "likelihood": lambda evaluator, parts: measure_likelihood(evaluator, LIKELIHOOD, parts),
    "samples": measure_samples,
    "sweep": lambda evaluator, parts: measure_sweep(evaluator, Sweep(n=10, nfe=(4,), error_n=4), parts),
    "curve": lambda evaluator, parts: measure_curve(evaluator, FEW, parts, Shown(0)),
}


@dataclass(frozen=True)
class Can(Baseline):
    """A method whose model is what is given."""

    of: Callable[[Any], Model] = field(default=lambda net: Model())

    def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:
        raise NotImplementedError

    def model(self, net: Any) -> Model:
        return self.of(net)


def measured(
    stage: str | Stage, of: Callable[[Any], Model], dataset: Dataset, module: nn.Module | None = None, seed: int = 3
) -> tuple[list[Measurement], dict[str, Any]]:
    trained = Trained(Can(of), module or Idle(), dataset, seed, "cpu")
    parts = Parts(lambda text: None)
    measure = STAGES[stage] if isinstance(stage, str) else stage
    with TemporaryDirectory() as folder:
        measure(Evaluator(trained, Judge(dataset, SAMPLES, Path(folder), "cpu", 0), SAMPLES, "raw", print), parts)
    parts.check()
    return [row for row in parts.rows if not row.metric.endswith(FLOOR)], parts.arrays


def one(rows: list[Measurement], metric: str, **settings: Any) -> Measurement:
    (found,) = (r for r in rows if r.metric == metric and all(r.settings.get(k) == v for k, v in settings.items()))
    return found


# A generator of one shot, as a GAN's.


def generator_of_one_shot(net: Any) -> Model:
    why = {"log_prob": "a GAN has no density"}
    draw = {"direct": lambda x0, rng: net(x0[:, 0], 3 * x0), "twice": lambda x0, rng: net(x0[:, 0], net(x0[:, 0], x0))}
    return Model(samplers=draw, absent=why)


def test_a_generator_is_sampled_by_its_first_sampler_and_has_no_paths(points: Dataset) -> None:
    rows, arrays = measured("samples", generator_of_one_shot, points)
    quote = {"sampler": "direct", "batch": 8, "weights": "raw"}
    assert (
        one(rows, "nfe_sampling", sampler="direct").value == 1 and one(rows, "nfe_sampling", sampler="twice").value == 2
    )
    assert one(rows, "w2", sampler="direct").settings == {**quote, "split": "test"}
    assert one(rows, "peak_memory_bytes").settings == quote and one(rows, "peak_memory_bytes").value > 0
    x0 = torch.stack([torch.randn(2, generator=generator(3, "samples", i)) for i in range(20)])
    np.testing.assert_array_equal(arrays["samples"], (3 * x0).half().numpy())
    for metric in ("path_energy", "straightness", "tortuosity", "npe"):
        row = one(rows, metric)
        plans = {"plans": 5, "plan_n": 10} if metric == "npe" else {}
        assert (row.reason, row.settings) == ("not applicable: the model has no velocity", quote | plans)
        assert math.isnan(row.value)


def test_a_generator_has_no_likelihood_and_its_reason_is_its_own(points: Dataset) -> None:
    rows, arrays = measured("likelihood", generator_of_one_shot, points)
    assert {row.reason for row in rows} == {"not applicable: a GAN has no density"} and not arrays
    assert one(rows, "nll_nats").settings["solver"] == "dormand_prince"  # in the column of those who have one
    (sweep, _), (curve, _) = (measured(stage, generator_of_one_shot, points) for stage in ("sweep", "curve"))
    assert {row.reason for row in sweep} == {"not applicable: the model has no velocity"}
    assert {row.metric for row in curve} == {"w2", "nfe_sampling"} and all(row.reason is None for row in curve)
    assert one(curve, "w2").settings == {"sampler": "direct", "batch": 8, "weights": "raw", "split": "test"}


def test_a_model_that_draws_nothing_is_refused(points: Dataset) -> None:
    with pytest.raises(UsageError, match="neither a velocity nor a sampler"):
        measured("samples", lambda net: Model(), points)


# An exact density of the model's own: N(0, s^2), and a bound below it.

S = 2.0


def log_prob(x: Tensor) -> Tensor:
    d = x[0].numel()
    return -0.5 * (x / S).flatten(1).square().sum(1) - d * math.log(S * math.sqrt(2 * math.pi))


def gaussian(net: Any) -> Model:
    def own(x: Tensor) -> Tensor:
        net(x[:, 0], x)
        return log_prob(x)

    return Model(log_prob=own, samplers={"direct": lambda x0, rng: S * x0})


def test_a_density_of_the_models_own_is_its_likelihood(points: Dataset) -> None:
    rows, arrays = measured("likelihood", gaussian, points)
    exact = -log_prob(points.test[:12]).double()
    row = one(rows, "nll_nats")
    assert row.value == pytest.approx(float(exact.mean()), rel=1e-6)
    assert row.stderr == pytest.approx(float(exact.std()) / math.sqrt(12), rel=1e-5)
    own = {"density": "own", "dequantisation": None, "batch": 5, "split": "test", "weights": "raw"}
    assert row.settings == {**own, "draws": 1} and one(rows, "nfe_likelihood").value == 1
    assert one(rows, "nfe_likelihood").settings == own
    # The picture is that density at the end alone.
    assert arrays["density_times"] == [1.0] and arrays["log_densities"].shape == (1, 80, 80)
    corner = torch.full((1, 2), -points.extent * (1 - 1 / 80))
    assert float(arrays["log_densities"][0, 0, 0]) == pytest.approx(float(log_prob(corner)), rel=1e-3)


def test_it_is_that_of_the_same_dequantised_values_in_bits(images: Dataset) -> None:
    trained = Trained(Can(gaussian), Idle(), images, 3, "cpu")
    parts = Parts(lambda text: None)
    evaluator = Evaluator(trained, Judge(images, SAMPLES, Path("none"), "cpu", 0), SAMPLES, "raw", print)
    measure_likelihood(evaluator, Likelihood(n=12, batch=5, draws=(1, 2)), parts)
    log_p = []
    for k in range(2):
        u = torch.stack([torch.rand(images.shape, generator=generator(3, f"dequantise-{k}", i)) for i in range(12)])
        log_p.append(log_prob((images.test[:12] + u) * (2 / 256) - 1).double())
    for k, found in ((1, log_p[0]), (2, torch.stack(log_p).logsumexp(0) - math.log(2))):
        bits = -found / (images.dim * math.log(2)) + 7
        assert one(parts.rows, "nll_bpd", draws=k).value == pytest.approx(float(bits.mean()), rel=1e-6)


def test_a_bound_is_a_metric_of_its_own_beside_the_exact_value(points: Dataset) -> None:
    def of(net: Any) -> Model:
        def bound(x: Tensor, rng: torch.Generator) -> Tensor:
            return log_prob(x) - torch.rand(len(x), generator=rng)

        return replace(gaussian(net), bound=bound)

    rows, _ = measured("likelihood", of, points)
    gap = torch.cat(
        [torch.rand(len(part), generator=generator(3, "bound-0", int(part[0]))) for part in torch.arange(12).split(5)]
    )
    expected = -log_prob(points.test[:12]).double() + gap
    row = one(rows, "bound_nats")
    assert row.value == pytest.approx(float(expected.mean()), rel=1e-6) and row.value > one(rows, "nll_nats").value
    assert row.stderr == pytest.approx(float(expected.std()) / math.sqrt(12), rel=1e-5)
    assert row.settings["density"] == "bound"
    curve, _ = measured("curve", lambda net: replace(of(net), log_prob=None), points)
    assert one(curve, "bound_nats").reason is None and not any(row.metric == "nll_nats" for row in curve)


# A source that is not N(0, I).


@dataclass(frozen=True)
class Laplace:
    """Independent Laplace variables of scale 1."""

    dim: int

    def draw(self, rng: torch.Generator) -> Tensor:
        u = torch.rand(self.dim, generator=rng) - 0.5
        return -u.sign() * torch.log1p(-2 * u.abs())

    def log_prob(self, x0: Tensor) -> Tensor:
        return -x0.abs().flatten(1).sum(1) - x0[0].numel() * math.log(2)


def affine(net: Any) -> Model:
    """dx/dt = x ln 2: x1 = 2 x0, so log p(x) = log p_0(x / 2) - d ln 2."""
    return Model(velocity=lambda t, x: math.log(2) * x)


def test_the_likelihood_by_the_ode_starts_from_the_source(points: Dataset) -> None:
    source = Laplace(2)
    rows, arrays = measured("likelihood", affine, replace(points, source=source))
    exact = -(source.log_prob(points.test[:12] / 2) - 2 * math.log(2))
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), abs=1e-5)
    corner = torch.full((1, 2), -points.extent * (1 - 1 / 80))
    density = float(source.log_prob(corner / 2)) - 2 * math.log(2)
    assert float(arrays["log_densities"][-1, 0, 0]) == pytest.approx(density, rel=2e-3)
    _, arrays = measured("samples", affine, replace(points, source=source))
    x0 = torch.stack([source.draw(generator(3, "samples", i)) for i in range(20)])
    factor = (1 + math.log(2) / 2 + math.log(2) ** 2 / 8) ** 2  # of two midpoint steps
    np.testing.assert_allclose(arrays["samples"], (factor * x0).numpy(), rtol=2e-3)


def test_a_source_without_a_density_leaves_no_likelihood(points: Dataset) -> None:
    class Drawn:
        draw = Laplace(2).draw

    rows, _ = measured("likelihood", affine, replace(points, source=Drawn()))
    assert {row.reason for row in rows} == {f"not applicable: the source of {points.name} has no log-density"}


def test_no_path_from_another_source_is_gaussian(points: Dataset) -> None:
    def of(net: Any) -> Model:
        return replace(affine(net), path=OptimalTransport(), score=lambda t, x: -x, eps=lambda t, x: x)

    gaussian, other = (
        Trained(Can(of), Idle(), replace(points, source=source), 0, "cpu").model() for source in (None, Laplace(2))
    )
    assert gaussian.having("score")(0.0, points.test[0]) is not None and other.having("velocity")
    assert gaussian.predicted_noise()(0.0, points.test[0]) is not None
    reason = r"the source of pair is not N\(0, I\), so the model has no Gaussian path"
    for ask in (lambda: other.having("path"), lambda: other.having("score"), other.predicted_noise):
        with pytest.raises(NotApplicable, match=reason):
            ask()
    noise = Euler(steps=2, grid="logsnr")  # a grid of noise levels
    with pytest.raises(NotApplicable, match=reason):
        noise.draw(other, points.test[:3], torch.Generator())
    _, arrays = measured("samples", of, replace(points, source=Laplace(2)))
    assert arrays["conditional_paths"].shape == (51, 6, 2)  # it is drawn along the path, whatever starts there


@dataclass(frozen=True)
class Doubled:
    """Model space is twice data space, a map whose change of volume is not counted."""

    keeps_density: bool

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return 2 * stored

    def decode(self, x: Tensor) -> Tensor:
        return x / 2


def test_samples_are_measured_in_data_space_and_drawn_in_model_space(points: Dataset) -> None:
    rows, arrays = measured("samples", affine, replace(points, space=Doubled(False)))
    plain, drawn = measured("samples", affine, points)
    for kind in ("samples", "trajectories"):
        np.testing.assert_array_equal(arrays[kind], drawn[kind])
    np.testing.assert_array_equal(arrays["data"], 2 * drawn["data"])
    assert one(rows, "path_energy").value == one(plain, "path_energy").value
    w2 = one(rows, "w2")
    halved = wasserstein2(torch.from_numpy(drawn["samples"][: w2.n]).float() / 2, points.test[: w2.n])
    assert w2.value == pytest.approx(halved, abs=1e-3) and one(rows, "npe").value != one(plain, "npe").value


def test_a_map_that_keeps_densities_has_a_likelihood(points: Dataset) -> None:
    rows, arrays = measured("likelihood", affine, replace(points, space=Doubled(True), log_prob=None))
    exact = points.test[:12].square().sum(1) / 2 + math.log(2 * math.pi) + 2 * math.log(2)  # x = 2 s = 2 x0
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), abs=1e-5)
    assert arrays["log_densities"].shape == (5, 80, 80)


def test_latents_have_no_likelihood(points: Dataset) -> None:
    points = replace(points, space=Doubled(False))
    rows, arrays = measured("likelihood", affine, points)
    assert {r.reason for r in rows} == {
        f"not applicable: the map of {points.name} from data to model space keeps no density"
    }
    assert not arrays


# Classes and what samples are given.


class Shifted(nn.Module):
    """net(t, x, labels) = x + 10 labels."""

    classes = 3

    def forward(self, t: Tensor, x: Tensor, labels: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        assert labels is not None and len(labels) == len(x)
        return x + 10 * labels[:, None] + (0 if given is None else given)


def classed(net: Any) -> Model:
    """Samples of class k about 10 k; and log N(x; 10 k, I) up to a constant."""

    def own(x: Tensor) -> Tensor:
        return -0.5 * (2 * x - net(x[:, 0], x)).square().sum(1)

    return Model(samplers={"direct": lambda x0, rng: net(x0[:, 0], x0)}, log_prob=own)


def test_samples_have_labels_of_the_training_split_and_likelihoods_those_of_the_test_split(points: Dataset) -> None:
    train, test = torch.arange(len(points.train)) % 3, torch.arange(len(points.test)) % 2
    data = replace(points, train_labels=train, test_labels=test)
    (_, arrays), (rows, pictures) = (measured(stage, classed, data, Shifted()) for stage in ("samples", "likelihood"))
    drawn = [int(torch.randint(len(train), (), generator=generator(3, "labels", i))) for i in range(20)]
    x0 = torch.stack([torch.randn(2, generator=generator(3, "samples", i)) for i in range(20)])
    expected = x0 + 10 * train[drawn, None]
    np.testing.assert_allclose(arrays["samples"], expected.numpy(), rtol=1e-3)
    assert set(train[drawn].tolist()) == {0, 1, 2}
    for row in measured("samples", classed, data, Shifted())[0]:
        assert row.settings["labels"] == "train"
    assert all(row.settings["labels"] == "test" for row in rows if row.metric != "peak_memory_bytes")
    for stage in ("samples", "likelihood"):  # a network that is told no class is not
        assert not any("labels" in row.settings for row in measured(stage, gaussian, data)[0])
    exact = 0.5 * (points.test[:12] - 10 * test[:12, None]).square().sum(1)
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), rel=1e-6)
    assert not pictures  # of which class would it be


def test_labels_of_the_training_data_alone_leave_no_likelihood(points: Dataset) -> None:
    """Not that of "no class", which is another model's."""
    data = replace(points, train_labels=torch.arange(len(points.train)) % 3)
    rows, _ = measured("likelihood", classed, data, Shifted())
    assert {row.reason for row in rows} == {"not applicable: the test data of pair have no labels"}
    rows, _ = measured("samples", classed, data, Shifted())
    assert one(rows, "w2").reason is None
    rows, _ = measured("likelihood", gaussian, data)
    assert one(rows, "nll_nats").reason is None


def test_a_vector_that_is_given_is_that_of_the_test_sample(points: Dataset) -> None:
    labels = torch.arange(len(points.test)) % 2
    data = replace(points, given=lambda x: 100 + x / 2, train_labels=None, test_labels=labels)
    (_, arrays), (rows, pictures) = (measured(stage, classed, data, Shifted()) for stage in ("samples", "likelihood"))
    x0 = torch.stack([torch.randn(2, generator=generator(3, "samples", i)) for i in range(20)])
    expected = x0 + 100 + points.test[:20] / 2 + 10 * labels[:20, None]
    np.testing.assert_allclose(arrays["samples"], expected.numpy(), rtol=1e-3)
    exact = 0.5 * (points.test[:12] / 2 - 100 - 10 * labels[:12, None]).square().sum(1)
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), rel=1e-6) and not pictures


def test_the_likelihood_of_an_image_is_that_under_what_it_is_given(images: Dataset) -> None:
    """dx/dt = c, the image with each value at the centre of its bin: x - c ~ N(0, I)."""

    class Told(nn.Module):
        def forward(self, t: Tensor, x: Tensor) -> Tensor:
            return x[:, 1:] + 0 * x[:, :1]

    def flow(net: Any) -> Model:
        return Model(velocity=lambda t, x: net(t.expand(len(x)), x))

    rows, _ = measured("likelihood", flow, replace(images, given=lambda k: images.scale(k, 0.5)), Told())
    u = torch.stack([torch.rand(images.shape, generator=generator(3, "dequantise-0", i)) for i in range(12)])
    log_p = -0.5 * ((u - 0.5) / 128).square().flatten(1).sum(1) - images.dim / 2 * math.log(2 * math.pi)
    bits = -log_p.double() / (images.dim * math.log(2)) + 7
    assert one(rows, "nll_bpd").value == pytest.approx(float(bits.mean()), rel=1e-6)


def test_a_likelihood_is_that_of_a_sample_where_it_is_given_what_it_is(points: Dataset) -> None:
    """x = x0 + what is given, here 3 + its first coordinate."""

    def flow(net: Any) -> Model:
        return Model(velocity=lambda t, x: net(t.expand(len(x)), x) - x)

    labels = torch.zeros(len(points.test), dtype=torch.long)
    data = replace(points, given=lambda x: 3 + x[:, :1], test_labels=labels)
    rows, arrays = measured("likelihood", flow, data, Shifted())
    exact = 0.5 * (points.test[:12] - 3 - points.test[:12, :1]).square().sum(1) + math.log(2 * math.pi)
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), rel=1e-5) and not arrays


@pytest.mark.parametrize("parted", [False, True])
def test_rows_that_are_cut_for_memory_keep_their_labels(points: Dataset, parted: bool) -> None:
    def flow(net: Any) -> Model:
        net = net["field"] if parted else net  # a closure may keep a part

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("no room")
            return net(t.expand(len(x)), x) - x  # 10 labels, whatever x

        return Model(velocity=velocity)

    test = torch.arange(len(points.test)) % 3
    module = nn.ModuleDict({"field": Shifted()}) if parted else Shifted()
    rows, _ = measured("likelihood", flow, replace(points, train_labels=test, test_labels=test), module)
    x0 = points.test[:12] - 10 * test[:12, None]
    exact = 0.5 * x0.square().sum(1) + math.log(2 * math.pi)
    assert one(rows, "nll_nats").value == pytest.approx(float(exact.mean()), rel=1e-5)


# What a sampler quotes, and what it costs where nothing counted it.


def sweep(**settings: Any) -> Stage:
    return lambda evaluator, parts: measure_sweep(evaluator, Sweep(n=10, **settings), parts)


def test_a_sampler_is_quoted_alike_by_samples_and_sweep(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    cosine = {"name": "euler", "steps": 3, "grid": "cosine"}
    named = ({"name": "rk4", "steps": 2}, cosine, {"name": "midpoint", "steps": 2})
    monkeypatch.setattr(f"{__name__}.SAMPLES", Samples.model_validate({**SAMPLES.model_dump(), "samplers": named}))
    rows, _ = measured("samples", affine, points)
    quoted = [row.settings for row in rows if row.metric == "nfe_sampling"]
    common = {"batch": 8, "weights": "raw"}
    assert quoted == [
        {"sampler": "midpoint", "solver": "midpoint", "steps": 2, **common},  # the headline's, which has one row
        {"sampler": "rk4", "solver": "rk4", "steps": 2, **common},  # and no open step where the path goes on to 1
        {"sampler": "euler-cosine", "solver": "euler", "steps": 3, "grid": "cosine", **common},
    ]
    rows, _ = measured(sweep(batch=8, samplers=named), affine, points)
    swept = {row.settings["sampler"]: row.settings for row in rows if row.metric == "sampling_seconds"}
    assert swept == {row["sampler"]: row for row in quoted}


def test_a_sampler_of_the_models_own_that_a_suite_names_has_its_row(points: Dataset) -> None:
    def of(net: Any) -> Model:
        own = {"euler-3": Euler(steps=3), "euler-4": lambda x0, rng: x0}
        return replace(affine(net), samplers=own)

    trained = Trained(Can(of), Idle(), points, 0, "cpu")
    ways = trained.ways(Solver(), {"euler-3": Euler(steps=3), "euler-5": Euler(steps=5)})
    assert ways["euler-3"] == Euler(steps=3) and ways["euler-4"] == "euler-4" and ways["euler-5"] == Euler(steps=5)
    assert list(ways) == ["dormand_prince", "euler-3", "euler-4", "euler-5"]
    with pytest.raises(
        UsageError, match=r"^evaluation\.samples\.samplers: .* another sampler of its own named 'euler-4'$"
    ):
        trained.ways(Solver(), {"euler-4": Euler(steps=4)})


def test_a_value_of_the_sweep_that_is_lost_stands_where_its_siblings_do(points: Dataset) -> None:
    """A guided field asks twice; it blows up at one step of 4 only."""

    def guided(net: Any) -> Model:
        def velocity(t: Tensor, x: Tensor) -> Tensor:
            net(t.expand(len(x)), x), net(t.expand(len(x)), x)
            return x / 0 if 0.2 < t < 0.3 else -x

        return Model(velocity)

    rows, _ = measured(sweep(nfe=(2, 4), tolerances=(), solvers=("euler",)), guided, points)
    had, lost = ([row for row in rows if row.settings.get("steps") == steps] for steps in (2, 4))
    assert {(row.place["nfe"], row.reason) for row in had} == {(4, None)}
    assert {row.place["nfe"] for row in lost} == {8}
    assert all(row.reason and row.reason.startswith("diverged at 8 evaluations: ") for row in lost)


def test_a_sweep_keeps_samples_of_every_sampler_at_few_evaluations_and_more_of_one(points: Dataset) -> None:
    def decaying(net: Any) -> Model:
        return Model(lambda t, x: -net(t.expand(len(x)), x))

    _, arrays = measured(sweep(nfe=(2, 4, 10), tolerances=(), solvers=("euler", "midpoint")), decaying, points)
    assert arrays.pop("extent") == points.extent
    assert arrays.keys() == {
        f"samples_{name}" for name in ("euler_2", "euler_4", "midpoint_2", "midpoint_4", "midpoint_10")
    }
    assert {stage_of(name) for name in arrays} == {"sweep"}
    assert all(array.shape == (10, 2) and array.dtype == np.float16 for array in arrays.values())
    # n steps of Euler leave (1 - 1/n)^n of the noise, and one midpoint step 1 - 1 + 1/2.
    whole = arrays["samples_midpoint_2"].astype(float) / (1 / 2)
    for nfe in (2, 4):
        assert arrays[f"samples_euler_{nfe}"] == pytest.approx(whole * (1 - 1 / nfe) ** nfe, rel=5e-3)


def test_a_network_has_its_batch_back_when_rows_were_cut() -> None:
    net = CountedNetwork(nn.Identity(), labels=torch.arange(4), given=torch.zeros(4, 1))
    memory = Memory(rows=3, shared=net.shared)
    assert memory.rowwise(lambda rows: net.labels, 4).tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError):
        memory.rowwise(lambda rows: torch.cat([net.labels, net.given]), 4)
    assert len(net.labels) == len(net.given) == 4
