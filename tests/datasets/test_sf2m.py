"""The sets of [SF]2M and the Gaussian bridge: scikit-learn's laws, densities, sources of points, a run's own draws."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import runs

from bench.config.components import build_dataset, check_data
from bench.config.registry import datasets
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.datasets.gaussian_bridge import marginal
from bench.datasets.sf2m import moons_law, s_curve, s_curve_law
from bench.errors import UsageError

UNUSED = Path("unused")
N = 20_000
NAMES = ["sf2m_8gaussians", "sf2m_moons", "sf2m_scurve", "sf2m_moons_to_8gaussians", "gaussian_bridge"]

BRIDGE = """
    [[experiments]]
    dataset = { name = "gaussian_bridge", n_test = 40 }
    network = { name = "mlp", width = 8, depth = 1 }
    baselines = ["fm_ot"]
    training = { steps = 1, batch = 8 }
"""


def dataset(name: str, **options: Any) -> Dataset:
    return datasets[name](UNUSED, **{"n_train": 200, "n_test": N, "n_validation": 50, **options})


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_keep_the_contract_with_the_papers_sizes(name: str) -> None:
    data = checked(name, datasets[name](UNUSED))
    assert [len(data.train), len(data.validation), len(data.test)] == [10_000] * 3
    assert data.fixed and data.version.endswith("-10000-10000-0") and not data.by_run
    assert torch.isfinite(data.log_prob(data.train[:500])).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[:4])
def test_densities_integrate_to_one_and_are_those_of_the_draws(name: str) -> None:
    data, side = dataset(name, n_test=1000), 110
    axis = ((torch.arange(side, dtype=torch.float64) + 0.5) * 2 / side - 1) * 1.1 * data.extent
    p, cell = data.log_prob(torch.cartesian_prod(axis, axis)).exp(), float(axis[1] - axis[0]) ** 2
    assert float(p.sum()) * cell == pytest.approx(1, abs=1e-4)
    entropy = -float(torch.special.xlogy(p, p).sum()) * cell
    surprise = -data.log_prob(data.test.double())
    assert float(surprise.mean()) == pytest.approx(entropy, abs=4 * float(surprise.std()) / 1000**0.5)


def by_scikit_learn(name: str) -> np.ndarray:
    from sklearn import datasets as sk

    if name == "sf2m_moons":
        return sk.make_moons(N, noise=0.05, random_state=0)[0] * 2 - [1, 0]
    if name == "sf2m_scurve":
        return sk.make_s_curve(N, noise=0.05, random_state=0)[0][:, [0, 2]] * 1.5
    x = sk.make_moons(N, noise=0.1, random_state=0)[0]
    return (x - x.mean()) / x.std() * 7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sf2m_moons", "sf2m_scurve", "sf2m_moons_to_8gaussians"])
def test_laws_are_scikit_learns(name: str) -> None:
    """Moments agree, and its points have the surprise of ours under our density; of the last set, of the source."""
    data = dataset(name)
    theirs = torch.from_numpy(by_scikit_learn(name))
    ours = data.test if data.source is None else data.source.points("test")
    density = data.log_prob if data.source is None else data.source.log_prob
    for x, y in ((ours.double(), theirs), (products(ours.double()), products(theirs))):
        assert ((x.mean(0) - y.mean(0)).abs() < 5 * y.std(0) * math.sqrt(2 / N)).all()
    a, b = (-density(x[:1000].double()) for x in (theirs, ours))
    assert float(a.mean() - b.mean()) == pytest.approx(0, abs=4 * float(b.std()) * math.sqrt(2 / 1000))


def products(x: torch.Tensor) -> torch.Tensor:
    return x[:, [0, 0, 1]] * x[:, [0, 1, 1]]


@pytest.mark.slow
def test_twice_as_many_nodes_change_no_density(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.datasets import sf2m

    x = {
        "moons": dataset("sf2m_moons", n_test=100).test.double(),
        "s": dataset("sf2m_scurve", n_test=100).test.double(),
    }
    before = moons_law(2.0, (-1.0, 0.0), 0.05).log_prob(x["moons"]), s_curve_law().log_prob(x["s"])
    whole = sf2m.quadrature
    monkeypatch.setattr(sf2m, "quadrature", lambda low, high, panels: whole(low, high, 2 * panels))
    after = (
        moons_law.__wrapped__(2.0, (-1.0, 0.0), 0.05).log_prob(x["moons"]),
        s_curve_law.__wrapped__().log_prob(x["s"]),
    )
    torch.testing.assert_close(before, after, rtol=0, atol=1e-9)


def test_eight_gaussians() -> None:
    for name, radius, std in (("sf2m_8gaussians", 5, 1.0), ("sf2m_moons_to_8gaussians", 12, 1.5)):
        x = dataset(name).test
        assert float(x.square().sum(1).mean()) == pytest.approx(radius**2 + 2 * std**2, rel=0.01)
        centres = torch.tensor([[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)]) * radius
        near = torch.cdist(x, centres).argmin(1)
        assert (torch.bincount(near, minlength=8) / N - 1 / 8).abs().max() < 0.015


def test_both_copies_of_the_moons() -> None:
    first, both = dataset("sf2m_moons"), dataset("sf2m_moons", shift="both")
    torch.testing.assert_close(first.test - both.test, torch.tensor([0.0, 1.0]).expand(N, 2), atol=1e-6, rtol=0)
    x = first.test[:200].double()
    torch.testing.assert_close(first.log_prob(x), both.log_prob(x - torch.tensor([0, 1])))
    assert first.version != both.version
    component = Component(name="sf2m_moons", options={"shift": "second"})
    with pytest.raises(UsageError, match=r"sf2m_moons: shift = 'second': .*'first' or 'both'"):
        build_dataset(component, UNUSED)


def test_the_s_goes_through_the_middle_and_both_ends() -> None:
    t = torch.tensor([-1.5, -0.5, 0.0, 0.5, 1.5], dtype=torch.float64) * math.pi
    expected = torch.tensor([[1.0, 1], [-1, 1], [0, 0], [1, -1], [-1, -1]], dtype=torch.float64) * 1.5
    torch.testing.assert_close(s_curve(t), expected, atol=1e-12, rtol=0)


# A source of points.


def test_training_draws_the_points_of_train_and_samples_start_from_those_of_test() -> None:
    from baselines.fm_ot import FlowMatchingOT
    from bench.evaluation.trained import Trained
    from bench.networks.mlp import mlp

    data = dataset("sf2m_moons_to_8gaussians", n_train=40, n_test=30, n_validation=20)
    source = data.source
    x0 = source.draws(500, torch.Generator().manual_seed(0))
    rows = (x0[:, None] == source.points("train")).all(2)
    assert rows.any(1).all() and len(rows.int().argmax(1).unique()) == 40
    trained = Trained(FlowMatchingOT(), mlp((2,), width=4, depth=1), data, 0, "cpu")
    assert torch.equal(trained.noise(3, 30), source.points("test")[3:30])
    trained.dataset = data.for_tuning
    assert torch.equal(trained.noise(0, 20), source.points("validation"))
    splits = [source.points(split) for split in ("train", "validation", "test")]
    assert len(torch.cat(splits).unique(dim=0)) == 90


def test_more_samples_than_the_source_has_points_are_one_line(tmp_path: Path) -> None:
    text = BRIDGE + "evaluation.samples = { n = 41, path_n = 8 }"
    (run,) = runs(tmp_path, text)
    rule = "a sample of gaussian_bridge starts from a test point of its source, and there are 40"
    with pytest.raises(UsageError, match=rf"^evaluation\.samples\.n = 41: {rule}$"):
        check_data(run, build_dataset(run.dataset, tmp_path))


def test_repeats_that_would_start_from_the_same_points_are_one_line(tmp_path: Path) -> None:
    text = BRIDGE + "evaluation.samples = { n = 40, path_n = 8, repeats = 3 }"
    (run,) = runs(tmp_path, text)
    rule = "samples of gaussian_bridge start from the same points of its source each time; allowed: 1"
    with pytest.raises(UsageError, match=rf"^evaluation\.samples\.repeats = 3: {rule}$"):
        check_data(run, build_dataset(run.dataset, tmp_path))
    (run,) = runs(tmp_path, text.replace("gaussian_bridge", "sf2m_moons").replace(", n_test = 40", ""))
    check_data(run, build_dataset(run.dataset, tmp_path))


# The Gaussian bridge.


def test_marginals_of_the_bridge_begin_and_end_with_its_data() -> None:
    data = dataset("gaussian_bridge", dim=20)
    mean, variance = marginal(torch.tensor([0.0, 1.0]), sigma=1.0)
    for x, m, v in zip((data.source.points("test"), data.test), mean, variance, strict=True):
        assert x.shape == (N, 20) and float(x.mean()) == pytest.approx(float(m), abs=0.01)
        assert float(x.var()) == pytest.approx(float(v), rel=0.01)
    exact = torch.distributions.Normal(0.1, 1.0).log_prob(data.test.double()).sum(1)
    torch.testing.assert_close(data.log_prob(data.test.double()), exact)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.7, 1.0])
def test_marginals_are_those_of_the_entropic_plan(sigma: float) -> None:
    """In one dimension, by Sinkhorn's algorithm on a grid: x_t = (1 - t) x0 + t x1 + sigma sqrt(t (1 - t)) z."""
    import ot

    grid = np.linspace(-6, 6, 241)
    start, end = (np.exp(-((grid - m) ** 2) / 2) for m in (-0.1, 0.1))
    cost = (grid[:, None] - grid) ** 2
    plan = ot.sinkhorn(start / start.sum(), end / end.sum(), cost, 2 * sigma**2, numItermax=10_000, stopThr=1e-12)
    for t in (0.25, 0.5):
        x = (1 - t) * grid[:, None] + t * grid
        mean = (plan * x).sum()
        variance = (plan * (x - mean) ** 2).sum() + sigma**2 * t * (1 - t)
        exact = [float(value) for value in marginal(torch.tensor(t, dtype=torch.float64), sigma)]
        assert [mean, variance] == pytest.approx(exact, abs=1e-6)


# Draws of a run's own.


def test_a_run_draws_points_of_its_own_under_one_version(tmp_path: Path) -> None:
    component = Component(name="sf2m_moons", options={"n_train": 64, "n_test": 32, "seed": "run"})
    first, other, again = (build_dataset(component, tmp_path, seed) for seed in (42, 43, 42))
    assert first.version == other.version == "1-64-32-run" and first.by_run
    assert torch.equal(first.test, again.test) and not torch.equal(first.test, other.test)
    fixed = datasets["sf2m_moons"](tmp_path, n_train=64, n_test=32, seed=42)
    assert torch.equal(first.train, fixed.train) and first.checksum == fixed.checksum and not fixed.by_run
    same = Component(name="sf2m_moons", options={"n_train": 64, "n_test": 32})
    assert build_dataset(same, tmp_path, 1) is build_dataset(same, tmp_path, 2)


def test_only_the_harness_says_the_seed_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset sf2m_moons: .*'run_seed'"):
        build_dataset(Component(name="sf2m_moons", options={"run_seed": 3}), tmp_path)
