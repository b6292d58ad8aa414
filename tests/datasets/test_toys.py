"""The 2-D sets: every density against its own integral, its own samples, and independent constructions."""

import math
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.config.registry import datasets
from bench.datasets.base import Dataset
from bench.datasets.curves import moons_law, spiral, two_spirals_law
from bench.datasets.toys import RINGS
from bench.errors import UsageError

WITH_DENSITY = ["2spirals", "8gaussians", "checkerboard", "circles", "moons", "rings", "swissroll"]
TOYS = [*WITH_DENSITY, "pinwheel"]
SLOW_DENSITY = [pytest.param(name, marks=pytest.mark.slow) if name == "2spirals" else name for name in WITH_DENSITY]
SIDE, CELL, WIDTH = (
    100,
    0.1,
    5,
)  # a grid of midpoints on [-5, 5]^2; histogram cells are WIDTH x WIDTH of its cells


def dataset(name: str, **options) -> Dataset:
    return datasets[name](Path("unused"), **{"n_train": 1000, "n_test": 20_000, **options})


@cache
def grid_density(name: str) -> Tensor:
    """p on the grid, shape (SIDE, SIDE), first axis x."""
    axis = (torch.arange(SIDE, dtype=torch.float64) + 0.5 - SIDE / 2) * CELL
    points = torch.cartesian_prod(axis, axis)
    return dataset(name).log_prob(points).exp().view(SIDE, SIDE)


@pytest.mark.parametrize("name", SLOW_DENSITY)
def test_density_integrates_to_one(name):
    assert grid_density(name).sum() * CELL**2 == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_DENSITY)
def test_samples_follow_the_density(name):
    """Chi-square of a histogram, against the density summed over each of its cells."""
    n = 20_000
    x = dataset(name).test
    bins = SIDE // WIDTH
    cell = ((x / CELL + SIDE / 2) / WIDTH).floor().long().clamp(0, bins - 1)
    observed = torch.bincount(cell[:, 0] * bins + cell[:, 1], minlength=bins**2).double()
    expected = grid_density(name).view(bins, WIDTH, bins, WIDTH).sum((1, 3)).flatten() * CELL**2 * n
    counted = expected > 5
    chi2 = ((observed - expected).square() / expected)[counted].sum()
    freedom = int(counted.sum()) - 1
    assert freedom > 40
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)
    assert observed[~counted].sum() < 0.06 * n


@pytest.mark.parametrize("name", SLOW_DENSITY)
def test_mean_surprise_is_the_entropy(name):
    data = dataset(name)
    surprise = -data.log_prob(data.test[:5000].double())
    p = grid_density(name)
    entropy = -float(torch.special.xlogy(p, p).sum()) * CELL**2
    assert float(surprise.mean()) == pytest.approx(entropy, abs=4 * float(surprise.std()) / 5000**0.5 + 2e-3)


def test_checkerboard_floor_is_ln_32_on_every_point():
    data = dataset("checkerboard", n_train=262_144)
    for dtype in (torch.float32, torch.float64):
        assert torch.allclose(data.log_prob(data.train.to(dtype)), -torch.tensor(32, dtype=dtype).log(), rtol=1e-15)
    white = torch.tensor([[1.0, -1.0], [-3.0, -1.0], [4.5, 0.5], [1.0, -5.0]])
    assert (data.log_prob(white) == -math.inf).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moons", "circles", "swissroll"])
def test_agrees_with_scikit_learn(name):
    """scikit-learn's own points have the surprise of ours under our density."""
    from sklearn import datasets as sk

    n = 20_000
    x = {
        "moons": lambda: sk.make_moons(n, noise=0.1, random_state=0)[0] * 2 + [-1, -0.2],
        "circles": lambda: sk.make_circles(n, factor=0.5, noise=0.08, random_state=0)[0] * 3,
        "swissroll": lambda: sk.make_swiss_roll(n, noise=1.0, random_state=0)[0][:, [0, 2]] / 5,
    }[name]()
    data = dataset(name)
    theirs, ours = (-data.log_prob(points) for points in (torch.from_numpy(x), data.test.double()))
    assert float(theirs.mean() - ours.mean()) == pytest.approx(0, abs=4 * float(ours.std()) * (2 / n) ** 0.5)


def test_rings_are_circles_of_gaussians():
    radii, std = RINGS
    angles = torch.arange(4000, dtype=torch.float64) * (2 * math.pi / 4000)
    centres = torch.cat([r * torch.stack([angles.cos(), angles.sin()], 1) for r in radii])
    x = dataset("rings").test[:50].double()
    mean = (-torch.cdist(x, centres).square() / (2 * std**2)).exp().mean(1) / (2 * math.pi * std**2)
    assert torch.allclose(dataset("rings").log_prob(x), mean.log(), atol=1e-10)
    far = dataset("rings").log_prob(torch.tensor([[300.0, 0.0]]))
    assert float(far) == pytest.approx(-((297 / std) ** 2) / 2, rel=1e-4)


@pytest.mark.slow
def test_two_spirals():
    assert torch.allclose(spiral(torch.tensor([math.pi])), torch.tensor([[math.pi / 3, 0]]), atol=1e-6)
    assert torch.allclose(spiral(torch.tensor([1.5 * math.pi])), torch.tensor([[0, -math.pi / 2]]), atol=1e-6)
    x = dataset("2spirals").test[:500].double()
    coarse, fine = two_spirals_law().log_prob(x), two_spirals_law(panels=80).log_prob(x)
    assert torch.allclose(coarse, fine, atol=1e-9)
    assert torch.allclose(coarse, two_spirals_law().log_prob(-x), atol=1e-12)


class Counted(TorchFunctionMode):
    """Counts the functions of torch that are called within."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls[func.__name__] += 1
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(
    ("law", "function", "of_density", "of_slopes"), [(two_spirals_law, "exp", 1, 2), (moons_law, "neg", 1, 1)]
)
def test_a_density_computes_no_gradient(law, function, of_density, of_slopes):
    """Of a law with many components the gradients are most of the work."""
    x = torch.linspace(-2, 2, 10, dtype=torch.float64, requires_grad=True).view(5, 2)
    with Counted() as density:
        log_p = law().log_prob(x)
    with Counted() as both:
        score = law().score(x)
    assert (density.calls[function], both.calls[function]) == (of_density, of_density + of_slopes)
    assert torch.allclose(score, torch.autograd.grad(log_p.sum(), x)[0], rtol=1e-9)


def test_pinwheel():
    """|x|^2 / 4 has mean 1 + 0.3^2 + 0.1^2; five arms turn by exp(|x| / 2) / 4 clockwise as they go out."""
    data = dataset("pinwheel")
    assert data.log_prob is None
    z = torch.view_as_complex(data.test.double())
    assert float(z.abs().square().mean()) / 4 == pytest.approx(1.1, abs=0.02)
    straight = z.angle() + (z.abs() / 2).exp() / 4
    assert float((5 * straight).cos().mean()) > 0.8
    for k in range(1, 5):
        assert float((1j * k * straight).exp().mean().abs()) < 0.03


@pytest.mark.parametrize("name", TOYS)
def test_seeds_decide_the_points(name):
    first, again, other = (dataset(name, seed=seed) for seed in (0, 0, 1))
    assert first.checksum == again.checksum != other.checksum
    assert first.train.dtype == first.test.dtype == torch.float32
    assert first.train.shape == (1000, 2)
    assert not torch.equal(first.train, first.test[:1000])
    assert torch.equal(first.test, dataset(name, n_train=10).test)
    assert (first.test.abs() < first.extent + 0.5).all()


def test_sizes_and_seeds_other_than_the_defaults_are_another_version():
    data = datasets["moons"](Path("unused"))
    assert (len(data.train), len(data.test), data.version) == (262_144, 10_000, "1")
    assert dataset("moons", seed=3, n_validation=7).version == "1-1000-20000-3-validation7"
    assert dataset("moons", seed=3).version == "1-1000-20000-3"


@pytest.mark.parametrize("options", [{"n_train": 0}, {"n_test": -1}, {"n_validation": 0}, {"seed": -1}])
def test_bad_options_are_named(options):
    ((key, value),) = options.items()
    with pytest.raises(UsageError, match=f"dataset moons: {key} = {value}: must be at least"):
        dataset("moons", **options)
