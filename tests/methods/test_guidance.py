"""Classes and their guidance, by networks that are exact for data with a known law a class."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from oracles import GaussianMixture
from torch import Tensor, nn

from baselines.consistency import ConsistencyModel
from baselines.ddpm import DDPM
from baselines.ffjord import FFJORD
from baselines.fm_ot import FlowMatchingOT
from baselines.meanflow import MeanFlow
from baselines.score_matching import ScoreMatching
from bench.config.sampling import further, swept
from bench.config.settings import Samples, Sweep, Training
from bench.datasets.base import Dataset
from bench.errors import NotApplicable, UsageError
from bench.evaluation.sweep import rows_an_evaluation
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.methods.baseline import About
from bench.methods.flow import FlowBaseline
from bench.methods.guidance import Guided
from bench.methods.network import CountedNetwork
from bench.networks.mlp import mlp
from bench.samplers.ode import Dopri5, Euler
from bench.training.trainer import Trainer

SCALES = [0.0, 0.5, 1.0, 3.0]
FREE = GaussianMixture.pair()
OF_CLASS = [GaussianMixture(torch.ones(1).double(), FREE.means[k : k + 1], FREE.variances[k : k + 1]) for k in (0, 1)]


class Exact(nn.Module):
    """What a method predicts of data whose class k is component k, and of all data if it is told no class."""

    def __init__(self, predict: Any, free: GaussianMixture = FREE, of_class: Any = OF_CLASS) -> None:
        super().__init__()
        self.predict, self.free, self.of_class, self.classes = predict, free, of_class, len(of_class)

    def forward(self, t: Tensor, x: Tensor, labels: Tensor | None = None) -> Tensor:
        found = self.predict(self.free, t, x)
        for k, mixture in enumerate(self.of_class):
            if labels is not None:
                found = torch.where((labels == k)[:, None], self.predict(mixture, t, x), found)
        return found


def predicting(method: FlowBaseline) -> Any:
    """Velocity, noise or score, as the method's network does."""
    path = method.path
    assert path is not None
    if isinstance(method, DDPM):
        return lambda mixture, t, x: -path.sigma(t)[:, None] * mixture.score(path, t, x)
    if isinstance(method, ScoreMatching):
        return lambda mixture, t, x: mixture.score(path, t, x)
    return lambda mixture, t, x: mixture.velocity(path, t, x)


@pytest.mark.parametrize("method", [FlowMatchingOT(), DDPM(), ScoreMatching()], ids=lambda m: m.name)
def test_the_guided_field_is_the_combination_of_the_exact_ones(method: FlowBaseline, rng: torch.Generator) -> None:
    x, labels = torch.randn(6, 2, generator=rng).double(), torch.tensor([0, 1, -1, 0, 1, 0])
    t, path = torch.tensor(0.4).double(), method.path
    assert path is not None
    net = CountedNetwork(Exact(predicting(method)), labels=labels)
    told = torch.stack([[*OF_CLASS, FREE][k].velocity(path, t, x[i : i + 1])[0] for i, k in enumerate(labels)])
    free, model = FREE.velocity(path, t, x), method.model(net)
    for scale in SCALES:
        found = model.having("guidance")(scale)
        torch.testing.assert_close(found.having("velocity")(t, x), free + scale * (told - free), rtol=1e-9, atol=1e-9)
        score = found.having("score")(t, x)  # that of the guided velocity, on the same path
        torch.testing.assert_close(path.velocity_from_score(t, x, score), found.having("velocity")(t, x))
    torch.testing.assert_close(model.guidance(1.0).velocity(t, x), model.velocity(t, x), rtol=1e-12, atol=1e-12)


def labelled(means: list[list[float]]) -> Dataset:
    points = torch.tensor(means).repeat(8, 1)
    labels = torch.arange(len(means)).repeat(8)
    return Dataset("labelled", "1", points, points, train_labels=labels, test_labels=labels)


@pytest.mark.parametrize("scale", SCALES)
def test_gaussian_classes_are_drawn_where_the_scale_moves_their_mean(scale: float) -> None:
    """Equal variances s^2 by class and without: the guided score is that of N(m + w (m_c - m), s^2 I)."""
    method, s, means = FlowMatchingOT(), 0.5, [[1.0, -2.0], [-3.0, 0.5]]
    free, *of_class = (GaussianMixture.single(mean, [s**2] * 2) for mean in ([0.25, 0.5], *means))
    data = labelled(means)
    this = Trained(method, Exact(predicting(method), free, of_class), data, 0, "cpu")
    labels, x0 = this.network(0, 20).labels, this.noise(0, 20)
    x, nfe = this.draw(Euler(steps=7, guidance=scale), 0, 20)
    assert nfe == {0.0: 7, 1.0: 7}.get(scale, 14)
    x, _ = this.draw(Dopri5(1e-6, 1e-6, guidance=scale), 0, 20)
    m, of_label = torch.tensor([0.25, 0.5]), torch.tensor(means)[labels]
    torch.testing.assert_close(x, m + scale * (of_label - m) + s * x0, rtol=1e-4, atol=1e-4)


def test_scale_1_is_no_guidance_and_scale_0_is_no_class(rng: torch.Generator) -> None:
    torch.manual_seed(0)
    data, method = labelled([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), FlowMatchingOT(labels=True)
    module = mlp((2,), width=32, depth=2, **method.inputs(About((2,), 3)))
    x, t, labels = torch.randn(9, 2, generator=rng), torch.rand(9, generator=rng), torch.arange(9) % 3
    net = CountedNetwork(module, labels=labels)
    torch.testing.assert_close(Guided(net, 1.0)(t, x), net(t, x), rtol=1e-5, atol=1e-6)
    assert torch.equal(Guided(net, 0.0)(t, x), module(t, x)) and net.rows == 2 * 9 + 9 + 9
    this = Trained(method, module, data, 0, "cpu")
    plain, at_1, at_0 = (this.draw(sampler, 0, 9)[0] for sampler in (Euler(), Euler(guidance=1), Euler(guidance=0)))
    assert torch.equal(plain, at_1)
    unlabelled = Trained(FlowMatchingOT(), mlp((2,), width=32, depth=2), replace(data, train_labels=None), 0, "cpu")
    assert not torch.equal(plain, at_0)
    assert unlabelled.model().absent == {"guidance": "the network is told no class"}


@pytest.mark.parametrize(
    "method", [ConsistencyModel(labels=True, sigma_data=0.5), MeanFlow(labels=True), FlowMatchingOT(labels=True)]
)
def test_the_nominal_evaluations_of_a_guided_row_are_those_that_are_counted(method: Any) -> None:
    data = labelled([[0.0, 1.0], [1.0, 0.0]])
    module = mlp((2,), width=8, depth=1, second_time=isinstance(method, MeanFlow), **method.inputs(About((2,), 2)))
    this = Trained(method, module, data, 0, "cpu")
    for sampler in this.model(0, 2).samplers.values() or [Euler(steps=4)]:
        for scale, rows in ((0.0, 1), (1.0, 1), (2.0, 2)):
            assert rows_an_evaluation(this, scale) == rows
            assert this.draw(replace(sampler, guidance=scale), 0, 4)[1] == sampler.evaluations * rows


def test_rows_of_a_guided_network_and_its_eager_form_are_guided() -> None:
    method, rows = FlowMatchingOT(labels=True), torch.tensor([2, 0, 2])
    module = mlp((2,), width=8, depth=1, **method.inputs(About((2,), 3)))
    net, x, t = CountedNetwork(module, labels=torch.arange(3)), torch.ones(3, 2), torch.full((3,), 0.5)
    guided = Guided(net, 2.0)
    torch.testing.assert_close(guided.of(rows)(t, x), guided(t, x)[rows])
    torch.testing.assert_close(guided.eager(t, x), guided(t, x))
    assert not torch.allclose(guided(t, x), net(t, x), rtol=0.1)


def test_what_is_told_no_class_is_not_guided() -> None:
    data, sampler = labelled([[0.0], [1.0]]), Euler(guidance=2.0)
    this = Trained(FlowMatchingOT(), mlp((1,), width=8, depth=1), data, 0, "cpu")
    with pytest.raises(NotApplicable, match="the network is told no class"):
        this.draw(sampler, 0, 2)
    never = FlowMatchingOT(labels=True, label_dropout=0.0)
    this = Trained(never, mlp((1,), width=8, depth=1, classes=2), data, 0, "cpu")
    with pytest.raises(NotApplicable, match="label_dropout = 0: the network has not learnt"):
        this.draw(sampler, 0, 2)
    with pytest.raises(NotApplicable, match="labels = true needs data with classes"):
        never.inputs(About((2,)))


def test_a_part_that_is_told_no_class_is_asked_once(rng: torch.Generator) -> None:
    parts = nn.ModuleDict({"told": mlp((2,), width=8, depth=1, classes=2), "free": mlp((2,), width=8, depth=1)})
    net = CountedNetwork(parts, labels=torch.tensor([0, 1]))
    x, t, guided = torch.randn(2, 2, generator=rng), torch.zeros(2), Guided(net, 2.0)
    assert torch.equal(guided["free"](t, x), parts["free"](t, x)) and net.rows == 2
    free, told = parts["told"](t, x), parts["told"](t, x, labels=torch.tensor([0, 1]))
    assert torch.equal(guided["told"](t, x), free + 2 * (told - free)) and guided.rows == 2 + 4


class Deaf(nn.Module):
    """Hears the labels and heeds none."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.classes, self.heard = mlp((2,), width=8, depth=1), 3, list[Tensor | None]()

    def forward(self, t: Tensor, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.heard.append(labels)
        return self.net(t, x)


@dataclass(frozen=True)
class Watching(FlowMatchingOT):
    """Keeps the classes that its loss is given."""

    def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:  # type: ignore[override]
        given.append(batch.labels)
        return super().loss(net, batch.x, ctx.rng)


given: list[Tensor] = []


def test_a_share_of_a_batch_is_told_no_class_and_no_other_number_changes() -> None:
    given.clear()
    data = labelled([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    settings, losses, modules = Training(steps=20, batch=100, micro_batch=50), [], []
    for method in (FlowMatchingOT(), Watching(labels=True, label_dropout=0.3)):
        torch.manual_seed(0)
        modules.append(Deaf())
        trainer = Trainer("r", settings, method, modules[-1], data, 0)
        losses.append([float(trainer.take_step()) for _ in range(20)])
    assert losses[0] == losses[1]
    plain, dropped = (torch.cat(module.heard) for module in modules)
    asked = torch.cat(given)
    assert torch.equal(plain, asked)
    free = dropped == -1
    assert torch.equal(dropped[~free], asked[~free])
    assert abs(float(free.double().mean()) - 0.3) < 0.04  # 4 standard errors of 2000
    trainer = Trainer("r", settings, Watching(labels=True, label_dropout=0.3), modules[-1], data, 0)
    trainer.step = 3
    trainer.take_step()
    assert torch.equal(torch.cat(modules[-1].heard[-2:]), dropped[300:400])  # by the number of the step alone


def test_likelihood_trained_methods_take_classes() -> None:
    data, method = labelled([[0.0, 1.0], [1.0, 0.0]]), FFJORD(labels=True, rk4_steps=2)
    torch.manual_seed(0)
    trainer = Trainer("r", Training(steps=2, batch=8), method, mlp((2,), width=8, depth=1, classes=2), data, 0)
    before = [p.clone() for p in trainer.module.parameters()]
    trainer.take_step()
    assert all(not torch.equal(a, b) for a, b in zip(before, trainer.module.parameters(), strict=True))
    x, nfe = Trained(method, trainer.module, data, 0, "cpu").draw(Euler(steps=5, guidance=2.0), 0, 4)
    assert x.isfinite().all() and nfe == 10


def test_rows_are_kept_in_a_restart(tmp_path: Any) -> None:
    """A way is kept by the name that it is drawn under, which has its scale."""
    assert f"{Euler(steps=4, guidance=2.0)}" == "euler-guidance2-4" and f"{Euler(steps=4)}" == "euler-4"
    assert Euler(guidance=2.0).label == "euler-guidance2" and Euler(guidance=1.0).label == "euler"
    this = Trained(
        FlowMatchingOT(), mlp((2,), width=8, depth=1, classes=2), labelled([[0.0, 1.0], [1.0, 0.0]]), 0, "cpu"
    )
    model = this.model()
    assert "guidance" not in Euler().quote(model) and Euler(guidance=2.0).quote(model)["guidance"] == 2.0
    unfinished = Unfinished(tmp_path)
    rows = [list(this.batches(f"{way}", way, 4, 4, unfinished)) for way in (Euler(), Euler(guidance=2.0))]
    assert [part.nfe for row in rows for part in row] == [20, 40]


def test_balanced_labels_are_every_class_in_turn() -> None:
    data = labelled([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    module = mlp((2,), width=8, depth=1, classes=3)
    drawn, balanced = (Trained(FlowMatchingOT(), module, data, 0, "cpu", balanced=which) for which in (False, True))
    assert torch.equal(balanced.network(4, 11).labels, torch.tensor([1, 2, 0, 1, 2, 0, 1]))
    assert not torch.equal(drawn.network(4, 11).labels, balanced.network(4, 11).labels)
    assert drawn.labels() == {"labels": "train"} and balanced.labels() == {"labels": "balanced"}
    held_out = balanced.network(4, 11, held_out=True)  # whose likelihood is that of their own classes
    assert torch.equal(held_out.labels, data.test_labels[4:11]) and balanced.labels(held_out=True) == {"labels": "test"}


def test_a_list_of_scales_is_a_sampler_each() -> None:
    samplers = [{"name": "euler", "guidance": [0, 1, 2.5], "steps": 8}, {"name": "dopri5", "guidance": 3}, "midpoint"]
    names = ["euler-guidance0-8", "euler-8", "euler-guidance2.5-8", "dopri5-guidance3-1e-05", "midpoint-20"]
    assert list(further(Samples(samplers=samplers))) == names
    rows = swept(Sweep(samplers=[{"name": "euler", "guidance": [1, 2]}], nfe=[4, 8]))
    assert [(row.guidance, row.evaluations) for row in rows] == [(1, 4), (1, 8), (2, 2), (2, 4)]
    rows = swept(Sweep(samplers=[{"name": "midpoint", "guidance": [0, 3]}], nfe=[2, 4, 6, 8]))
    assert [f"{row}" for row in rows] == [
        *(f"midpoint-guidance0-{steps}" for steps in (1, 2, 3, 4)),
        *(f"midpoint-guidance3-{steps}" for steps in (1, 2)),
    ]
    with pytest.raises(UsageError, match=r"sampler midpoint: no nfe of \[2\] is a multiple of 4"):
        swept(Sweep(samplers=[{"name": "midpoint", "guidance": 3}], nfe=[2]))
    for scale, why in (
        (True, "guidance = True: expected a number"),
        (-1, "guidance = -1: Input should be greater than or equal to 0"),
        ([], r"guidance = \[\]: a sc"),
    ):
        with pytest.raises(UsageError, match=f"sampler euler: {why}"):
            further(Samples(samplers=[{"name": "euler", "guidance": scale}]))
