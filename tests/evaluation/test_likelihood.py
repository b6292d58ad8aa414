"""NLL and bits/dim through the whole measurement, on models whose density is known."""

import math

import pytest
import torch
from oracles import GaussianMixture, Given, Idle, field, likelihood, uniform_flow
from torch import Tensor

from bench.config.settings import Likelihood, Solve
from bench.datasets.base import Dataset
from bench.datasets.scaling import Scaling
from bench.errors import Diverged
from bench.evaluation.density import by_ode, log_density_grid
from bench.evaluation.likelihood import bits_per_dim, blank, by_route
from bench.evaluation.routes import ByODE
from bench.evaluation.trained import Trained
from bench.methods.density import log_density, log_normal
from bench.methods.ode import Solver
from bench.methods.paths import OptimalTransport
from bench.records.records import Measurement
from bench.training.seeds import generator

TIGHT = (Solve(rtol=1e-7, atol=1e-7),)


def measure(f: object, dataset: Dataset, seed: int = 5, **settings: object) -> list[Measurement]:
    this = Trained(Given(f), Idle(), dataset, seed, "cpu")  # type: ignore[arg-type]
    return likelihood(this, Likelihood(**settings), weights="ema")  # type: ignore[arg-type]


def named(rows: list[Measurement], metric: str) -> list[Measurement]:
    return [row for row in rows if row.metric == metric]


def rescaled(t: Tensor, x: Tensor) -> Tensor:
    """v = x ln(1/2): the model N(0, 1/4 I)."""
    return -math.log(2) * x


def dequantised(dataset: Dataset, k: int, n: int) -> Tensor:
    """The k-th dequantisation of the first n test images, written out."""
    u = torch.stack([torch.rand(dataset.shape, generator=generator(5, f"dequantise-{k}", i)) for i in range(n)])
    assert dataset.levels
    return (dataset.test[:n] + u) * (2 / dataset.levels) - 1


# Bits/dim.


def test_a_uniform_model_costs_all_its_bits() -> None:
    d = 12
    log_p = torch.full((3,), -d * math.log(2))  # the uniform density on [-1, 1]^d
    assert bits_per_dim(log_p, d, 256).tolist() == pytest.approx([8.0] * 3, abs=1e-6)
    assert bits_per_dim(log_p, d, 17).tolist() == pytest.approx([math.log2(17)] * 3, abs=1e-6)


def test_the_papers_constant_for_eight_bits() -> None:
    """bits/dim = -log p / (d ln 2) + 7."""
    assert float(bits_per_dim(torch.tensor(-6.0), 3, 256)) == pytest.approx(6 / (3 * math.log(2)) + 7)


@pytest.mark.slow
def test_a_uniform_flow_costs_eight_bits_through_the_whole_measurement(images: Dataset) -> None:
    for draws in (1, 3):
        for row in named(measure(uniform_flow, images, solvers=TIGHT, draws=draws), "nll_bpd"):
            assert row.value == pytest.approx(8.0, abs=2e-4)
            assert row.stderr == pytest.approx(0.0, abs=2e-4)


def test_a_gaussian_model_costs_its_cross_entropy(images: Dataset) -> None:
    """The same dequantised values under N(0, 1/4 I), by its formula."""
    x = dequantised(images, 0, 12).double()
    bits = (2 * x.square() + 0.5 * math.log(2 * math.pi / 4)).flatten(1).mean(1) / math.log(2) + 7
    (row,) = named(measure(rescaled, images, solvers=TIGHT), "nll_bpd")
    assert row.value == pytest.approx(float(bits.mean()), abs=1e-5)
    assert row.stderr == pytest.approx(float(bits.std()) / math.sqrt(12), rel=1e-4)
    assert row.n == 12


def test_scaled_points_have_their_likelihood_in_their_own_units() -> None:
    """z ~ N(0, I) is x = shift + scale z ~ N(shift, scale^2), whose density is known."""
    shift, scale = (3.0, -20.0), (0.5, 40.0)
    gaussian = GaussianMixture.single([*shift], [s * s for s in scale])
    points = gaussian.sample(50, torch.Generator().manual_seed(0)).float()
    data = Dataset("scaled", "1", points, points, log_prob=gaussian.log_prob, space=Scaling(shift, scale))
    found = measure(lambda t, x: 0 * x, data, solvers=TIGHT)
    ((nll,), (least,)) = (named(found, metric) for metric in ("nll_nats", "nll_floor"))
    direct = -torch.distributions.Normal(torch.tensor(shift), torch.tensor(scale)).log_prob(points).sum(1)
    assert nll.value == pytest.approx(float(direct.mean()), abs=1e-5)
    assert (nll.value, nll.stderr) == pytest.approx((least.value, least.stderr), abs=1e-5)


# Several dequantisations.


def test_the_bound_of_k_draws_is_the_mean_of_their_densities(images: Dataset) -> None:
    rows = {row.settings["draws"]: row for row in named(measure(rescaled, images, draws=8), "nll_bpd")}
    assert set(rows) == {1, 8}
    logs = torch.stack([log_density(rescaled, dequantised(images, k, 12), 1.0, Solver()).log_p for k in range(8)])
    bound = torch.logsumexp(logs.double(), 0) - math.log(8)
    direct = -bound / (6 * math.log(2)) + 7
    assert rows[8].value == pytest.approx(float(direct.mean()), abs=1e-5)
    single = -logs[0].double() / (6 * math.log(2)) + 7
    assert rows[1].value == pytest.approx(float(single.mean()), abs=1e-5)
    # Jensen: on the average over the draws a single one costs no less.
    average = -logs.double().mean() / (6 * math.log(2)) + 7
    assert float(average) > rows[8].value


@pytest.mark.slow
def test_every_k_is_the_first_k_of_one_pass(images: Dataset) -> None:
    """Three values of K cost what the largest costs: its draws in batches of 5, 5 and 2, of 4 x 4 evaluations each."""
    calls: list[int] = []

    def f(t: Tensor, x: Tensor) -> Tensor:
        calls.append(len(x))
        return rescaled(t, x)

    solvers = (Solve(method="rk4", steps=4),)
    found = measure(f, images, batch=5, draws=[8, 1, 3], solvers=solvers)
    assert calls == 8 * (16 * [5] + 16 * [5] + 16 * [2])
    rows = named(found, "nll_bpd")
    assert [row.settings["draws"] for row in rows] == [1, 3, 8]
    x = [dequantised(images, k, 12) for k in range(8)]
    logs = torch.stack([log_density(rescaled, y, 1.0, Solver("rk4", steps=4)).log_p for y in x]).double()
    for row, k in zip(rows, (1, 3, 8), strict=True):
        bits = bits_per_dim(torch.logsumexp(logs[:k], 0) - math.log(k), 6, 256)
        assert row.value == pytest.approx(float(bits.mean()), abs=1e-6)
        assert row.stderr == pytest.approx(float(bits.std()) / math.sqrt(12), rel=1e-5) and row.n == 12
        alone = named(measure(rescaled, images, batch=5, draws=k, solvers=solvers), "nll_bpd")[-1]
        assert (alone.value, alone.settings) == (row.value, row.settings)
    (cost,), (seconds,) = named(found, "nfe_likelihood"), named(found, "likelihood_seconds")
    assert cost.value == 16 and seconds.n == 8 * 12


def test_with_few_levels_more_draws_tighten_the_bound() -> None:
    """With 2 levels u moves x by half the range: K = 1 pays visibly more than K = 8."""
    draw = torch.Generator().manual_seed(0)
    test = torch.randint(0, 2, (400, 1, 2, 2), generator=draw, dtype=torch.uint8)
    rows = measure(rescaled, Dataset("bits", "1", test, test, levels=2), draws=8)
    one, eight = sorted(named(rows, "nll_bpd"), key=lambda row: row.settings["draws"])
    assert eight.value < one.value - 0.1


# Points.


@pytest.mark.slow
def test_nll_of_points_under_the_exact_field(points: Dataset) -> None:
    mixture = GaussianMixture.pair()
    rows = measure(field(mixture, OptimalTransport()), points, n=200, batch=70, solvers=TIGHT)
    (nll,), (floor,) = named(rows, "nll_nats"), named(rows, "nll_floor")
    exact = -mixture.log_prob(points.test[:200].double())
    assert floor.value == pytest.approx(float(exact.mean()), rel=1e-9)
    assert floor.n == nll.n == 200
    assert nll.value == pytest.approx(floor.value, abs=1e-4)
    assert nll.stderr == pytest.approx(float(exact.std()) / math.sqrt(200), rel=1e-3)
    assert nll.settings["divergence"] == "exact" and nll.settings["dequantisation"] is None
    assert nll.settings["draws"] == 1 and nll.settings["weights"] == "ema" and nll.settings["split"] == "test"


def test_points_are_never_dequantised_however_many_draws(points: Dataset) -> None:
    rows = named(measure(rescaled, points, n=20, draws=4), "nll_nats")
    assert len(rows) == 1
    assert rows[0].value == pytest.approx(float(-(log_normal(2 * points.test[:20]) + 2 * math.log(2)).mean()), abs=1e-4)


def test_nfe_is_the_mean_over_samples(points: Dataset) -> None:
    """Batches of 200 and 50 that need different numbers of evaluations count by their samples."""
    calls: list[int] = []

    def f(t: Tensor, x: Tensor) -> Tensor:
        calls.append(len(x))
        return x * (1 if len(x) == 200 else 20 * torch.sin(20 * t))

    (row,) = named(measure(f, points, n=250, batch=200), "nfe_likelihood")
    full, rest = calls.count(200), calls.count(50)
    assert rest > full
    assert row.value == pytest.approx((200 * full + 50 * rest) / 250)


def test_every_solver_has_its_own_rows(points: Dataset) -> None:
    rows = measure(rescaled, points, n=50, solvers=(Solve(), Solve(method="midpoint", steps=20)))
    adaptive, fixed = named(rows, "nll_nats")
    assert (adaptive.settings["solver"], fixed.settings["solver"], fixed.settings["steps"]) == (
        "dormand_prince",
        "midpoint",
        20,
    )
    assert "rtol" not in fixed.settings
    assert adaptive.value == pytest.approx(fixed.value, abs=1e-2)
    assert named(rows, "nfe_likelihood")[1].value == 40
    assert len(named(rows, "nll_floor")) == 1


# Hutchinson's estimate.


def test_hutchinson_is_exact_where_the_jacobian_is_diagonal(points: Dataset, images: Dataset) -> None:
    for dataset in (points, images):
        exact, probed = (measure(rescaled, dataset, divergence=how) for how in ("exact", "hutchinson"))
        assert probed[0].value == pytest.approx(exact[0].value, abs=1e-5)
        assert (exact[0].settings["probes"], probed[0].settings["probes"]) == (None, 1)


def test_auto_is_exact_up_to_64_dimensions_and_probed_above() -> None:
    for side, how in ((8, "exact"), (9, "hutchinson")):
        test = torch.zeros(2, 1, side, side, dtype=torch.uint8)
        rows = measure(rescaled, Dataset("blank", "1", test, test, levels=256))
        assert rows[0].settings["divergence"] == how


def test_a_sample_has_its_own_noise_whatever_the_batch(images: Dataset) -> None:
    turn = torch.tensor([[0.0, 1.0], [-0.5, 0.0]])

    def f(t: Tensor, x: Tensor) -> Tensor:
        y = x.flatten(1)
        return torch.cat([y[:, :2] @ turn, y[:, 2:]], 1).view_as(x)

    settings = {"divergence": "hutchinson", "probes": 2, "draws": 2, "solvers": (Solve(method="rk4", steps=4),)}
    one, several = (measure(f, images, batch=batch, **settings) for batch in (12, 5))
    for a, b in zip(named(one, "nll_bpd"), named(several, "nll_bpd"), strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-6)


# What the probes leave in the NLL.

MIXING = 0.1 * torch.randn(6, 6, generator=torch.Generator().manual_seed(4)) - torch.eye(6)
ROUGH = {"divergence": "hutchinson", "solvers": (Solve(method="midpoint", steps=1),)}


def mixing(t: Tensor, x: Tensor) -> Tensor:
    """v = A x: a density narrow enough for one of a few grey levels to hold very unequal parts of it."""
    return (x.flatten(1) @ MIXING.T).view_as(x)


def variance_of_one_probe(matrix: Tensor) -> float:
    """Of z^T A z with z = +-1: 2 sum_(i != j) S_ij^2 with S = (A + A^T) / 2 (Hutchinson 1990)."""
    symmetric = (matrix + matrix.T) / 2
    return 2 * float((symmetric - symmetric.diag().diag()).square().sum())


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "least", "most"), [(256, 0.57, 0.59), (2, 0.8, 0.9)])
def test_the_probes_error_is_the_spread_over_repetitions(levels: int, least: float, most: float) -> None:
    """One draw has the closed form; three leave 1 / sqrt(3) of it where they weigh the same, and more where not."""
    n, probes, dim = 12, 4, 6
    test = torch.randint(0, levels, (n, 1, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    dataset = Dataset("few", "1", test, test, levels=levels)
    errors: dict[int, list[float]] = {1: [], 3: []}
    claims: dict[int, list[float]] = {1: [], 3: []}
    for seed in range(120):  # the dequantisation of a seed is the same for both
        probed = measure(mixing, dataset, seed, draws=3, probes=probes, **ROUGH)
        exact = measure(mixing, dataset, seed, draws=3, **{**ROUGH, "divergence": "exact"})
        for one, other, claim in zip(
            named(probed, "nll_bpd"), named(exact, "nll_bpd"), named(probed, "nll_probe_stderr"), strict=True
        ):
            k = claim.settings["draws"]
            assert k == one.settings["draws"] and claim.n == n and claim.settings["probes"] == probes
            errors[k].append(one.value - other.value)
            claims[k].append(claim.value)
    closed = math.sqrt(variance_of_one_probe(MIXING) / probes / n) / (dim * math.log(2))
    for k in (1, 3):
        spread, claimed = torch.tensor(errors[k]).std(), torch.tensor(claims[k]).square().mean().sqrt()
        assert float(claimed) == pytest.approx(float(spread), rel=0.2)
        if k == 1:
            assert float(claimed) == pytest.approx(closed, rel=0.05)
            assert abs(float(torch.tensor(errors[k]).mean())) < 4 * closed / math.sqrt(120)
        else:
            assert least < float(claimed) / closed < most


def test_more_probes_leave_less(points: Dataset) -> None:
    """In nats, and as 1 / sqrt(M): z^T A z has the deviation |a_12 + a_21| of one probe."""
    shear = torch.tensor([[0.2, 0.5], [-0.1, 0.3]])
    found = {}
    for probes in (2, 8, 32):
        rows = measure(lambda t, x: x @ shear.T, points, n=250, probes=probes, **ROUGH)
        (nll,), (claim,) = named(rows, "nll_nats"), named(rows, "nll_probe_stderr")
        found[probes] = claim.value
        assert claim.stderr is None and claim.settings == nll.settings
        assert claim.value == pytest.approx(0.4 / math.sqrt(probes * 250), rel=0.15)
    assert found[2] > found[8] > found[32]


def test_an_exact_divergence_or_one_probe_claims_nothing(points: Dataset, images: Dataset) -> None:
    for dataset in (points, images):
        for settings in ({"divergence": "exact", "probes": 4}, {"divergence": "hutchinson"}, {"probes": 4}):
            assert not named(measure(rescaled, dataset, n=8, **settings), "nll_probe_stderr")


# The density on a grid.


@pytest.mark.slow
def test_grid_is_the_density_by_rows_of_ascending_y() -> None:
    mixture = GaussianMixture.pair()
    grid = log_density_grid(by_ode(field(mixture, OptimalTransport()), 1.0), 4.0, "cpu", size=40)
    centres = (torch.arange(40, dtype=torch.float64) + 0.5) / 5 - 4
    # Around the two modes (1.5, -0.5) and (-1, 0.5): columns are x, rows are y.
    for x, y in ((1.5, -0.5), (-1.0, 0.5), (1.1, 0.0)):
        column, row = (int((centres - value).abs().argmin()) for value in (x, y))
        exact = mixture.log_prob(torch.stack([centres[column], centres[row]])[None])
        assert float(grid[row, column]) == pytest.approx(float(exact), abs=5e-3)
    mass = float(grid.double().exp().sum()) * 0.2**2
    assert mass == pytest.approx(1.0, abs=0.01)


def test_a_draw_that_diverges_takes_the_larger_k_alone(images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third of four dequantisations fails in its second batch: K = 1 and 2 are what they are without it."""
    calls: list[int] = []

    def third_fails(f, x, *args):  # type: ignore[no-untyped-def]
        calls.append(len(x))
        if len(calls) == 6:
            raise Diverged("dopri5: underflow")
        return log_density(f, x, *args)

    asked = {"n": 12, "batch": 6, "solvers": (Solve(method="midpoint", steps=2),), "probes": 2}
    whole = measure(rescaled, images, draws=(1, 2), divergence="hutchinson", **asked)
    monkeypatch.setattr("bench.evaluation.routes.log_density", third_fails)
    found = measure(rescaled, images, draws=(1, 2, 4), divergence="hutchinson", **asked)
    bounds = {(row.metric, row.settings["draws"]): row for row in found if "draws" in row.settings}
    for row in whole:
        if "draws" in row.settings:
            assert bounds[row.metric, row.settings["draws"]].value == row.value
    for metric in ("nll_bpd", "nll_probe_stderr"):
        lost = bounds[metric, 4]
        assert math.isnan(lost.value) and lost.reason == "diverged in draw 3: dopri5: underflow" and lost.n == 12
    (nfe,), (seconds,) = named(found, "nfe_likelihood"), named(found, "likelihood_seconds")
    assert nfe.value == 4 and seconds.n == 24 and len(calls) == 6


@pytest.mark.slow
def test_a_first_draw_that_diverges_leaves_nothing(points: Dataset) -> None:
    with pytest.raises(Diverged, match="dormand_prince"):
        measure(lambda t, x: -1e3 * x**3, points, n=10, batch=10)


@pytest.mark.parametrize(("levels", "probes"), [(None, 1), (256, 1), (256, 3)])
def test_what_is_blank_is_what_would_be_measured(points: Dataset, images: Dataset, levels: int, probes: int) -> None:
    asked = Likelihood(n=12, batch=6, draws=(1, 3), probes=probes, divergence="hutchinson")
    solver = Solver("midpoint", steps=2)
    this = Trained(Given(lambda t, x: -x), Idle(), images if levels else points, 0, "cpu")
    route = ByODE(this, asked, solver)
    had, said = by_route(route, "raw"), blank(route, "raw")
    assert [(m.metric, m.n, m.settings) for m in had] == [(m.metric, m.n, m.settings) for m in said]
    assert all(math.isnan(m.value) and m.reason is None for m in said)
