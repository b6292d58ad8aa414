"""The velocity of a path in closed form: against the oracle of mixtures, a limit of boxes, and training points."""

import pytest
import torch
from oracles import GaussianMixture
from oracles import field as oracle
from torch import Tensor

from bench.datasets.boxes import Boxes
from bench.datasets.curves import two_spirals_law
from bench.datasets.gaussians import Mixture
from bench.datasets.law import Law
from bench.datasets.toys import CIRCLES, checkerboard_law, checkerboard_log_prob, circles_law, circles_log_prob
from bench.methods.marginal import MARGIN, marginal_velocity
from bench.methods.paths import OptimalTransport, Path, Trigonometric, VariancePreserving

PATHS = [OptimalTransport(), OptimalTransport(0.1), VariancePreserving(), Trigonometric()]


def points(n: int = 40) -> Tensor:
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def at(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.title)
def test_of_a_mixture_it_is_the_oracles(path: Path) -> None:
    """Which has it straight from the regression of jointly Gaussian variables, with no score."""
    exact = GaussianMixture.pair()
    law = Mixture(exact.weights, exact.means, exact.variances.sqrt())
    field, reference = marginal_velocity(law, path), oracle(exact, path)
    for t in (0.05, 0.3, 0.7, 0.95):
        torch.testing.assert_close(field(at(t), points()), reference(at(t), points()), rtol=1e-8, atol=1e-8)
    # At an end that has no noise, or no data, it is that of a time next to it.
    for t, inside in ((0.0, MARGIN), (path.t_end, path.t_end - MARGIN)):
        assert torch.equal(field(at(t), points()), field(at(inside), points()))
        torch.testing.assert_close(field(at(t), points()), reference(at(t), points()), rtol=3e-2, atol=3e-3)


@pytest.mark.parametrize("path", PATHS[::2], ids=lambda path: path.title)
def test_of_boxes_it_is_the_limit_of_many_narrow_gaussians(path: Path) -> None:
    """A box is the mean over 1,000 Gaussians along it, here in one dimension, whose width is far below the noise's."""
    row = torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)[1::2, None]
    means = torch.cat([2 * row - 1, 0.5 * row + 2])
    narrow = Mixture(torch.full((2000,), 1 / 2000, dtype=torch.float64), means, torch.full_like(means, 0.3))
    two = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    boxes = Boxes(torch.tensor([0.5, 0.5]), two, 0 * two + 0.3, torch.tensor([[2.0], [0.5]]).double())
    x = 3 * torch.randn(50, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for t in (0.0, 0.4, 0.9, path.t_end):
        found, expected = (marginal_velocity(law, path)(at(t), x) for law in (boxes, narrow))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


LAWS = [two_spirals_law(10), checkerboard_law(), circles_law(*CIRCLES)]


@pytest.mark.parametrize("law", LAWS, ids=["2spirals", "checkerboard", "circles"])
@pytest.mark.parametrize("sigma", [0.03, 0.5])
def test_a_score_is_the_gradient_of_its_log_density(law: Law, sigma: float) -> None:
    blurred = law.blurred(at(0.8), at(sigma))
    x = points(20).requires_grad_()
    blurred.log_prob(x).sum().backward()
    torch.testing.assert_close(blurred.score(x.detach()), x.grad, rtol=1e-6, atol=1e-6)


def test_laws_of_sets_are_their_densities() -> None:
    x = 1.5 * points(200)
    near = x[x.norm(dim=1) < 3.7]
    torch.testing.assert_close(
        circles_law(*CIRCLES).log_prob(near), circles_log_prob(near, *CIRCLES), rtol=0, atol=1e-5
    )
    near = checkerboard_law().blurred(at(1.0), at(1e-6)).log_prob(x)
    inside = checkerboard_log_prob(x).isfinite()
    assert 50 < inside.sum() < 150 and (near[~inside] < -100).all()
    torch.testing.assert_close(near[inside], checkerboard_log_prob(x[inside]))


@pytest.mark.slow
def test_points_outside_a_box_lose_no_digit() -> None:
    """50 deviations away, where a difference of Phi is 0 in any precision: the slope is about -z / s."""
    law = checkerboard_law().blurred(at(1.0), at(0.1))
    x = torch.tensor([[9.0, 1.0]], dtype=torch.float64)
    assert float(law.score(x)[0, 0]) == pytest.approx(-(5.0 + 0.1**2 / 5) / 0.1**2, rel=1e-3)
