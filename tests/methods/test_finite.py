"""What is not finite is no measurement: no metric makes a number of NaN or inf, and each says how many there were."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judging import compare, register_extractor
from oracles import Given, Idle, likelihood, trained
from torch import Tensor

from bench.config.settings import Likelihood, Samples, Solve
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.errors import Diverged, UsageError
from bench.evaluation.density import by_ode, log_density_grid
from bench.evaluation.follow import follow
from bench.evaluation.quality import Judge
from bench.evaluation.solver_error import SolverError
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.methods.finite import NotFinite, all_finite, complaint, lost
from bench.methods.model import Draw
from bench.methods.ode import Solver
from bench.metrics.extractors.reference import Reference
from bench.metrics.psnr import psnr
from bench.metrics.w2 import wasserstein2
from bench.samplers.ode import sampler_of

NAN, INF = math.nan, math.inf
BAD = [NAN, INF, -INF]


def test_rows_are_counted_not_values() -> None:
    x = torch.tensor([[1.0, NAN], [INF, NAN], [0.0, 3e38]])
    assert lost(x) == 2 and lost(x[:, 0]) == 1 and lost(x[2:]) == 0 and lost(torch.zeros(0, 2)) == 0
    assert lost(torch.tensor([[255]], dtype=torch.uint8)) == 0
    assert lost(torch.full((3, 2, 2, 2), NAN)) == 3
    assert complaint(2, 3) == "2 of 3 samples are not finite" and complaint(0, 3) is None
    assert all_finite(x[2:]) is not None
    with pytest.raises(NotFinite, match="2 of 3 points are not finite"):
        all_finite(x, "points")
    assert issubclass(NotFinite, Diverged)


# Points.


@pytest.mark.parametrize("bad", BAD)
def test_w2_of_points_that_are_not_finite_is_refused(bad: float) -> None:
    x, y = torch.zeros(5, 2), torch.ones(5, 2)
    x[3, 1] = bad
    with pytest.raises(NotFinite, match="1 of 5 samples"):
        wasserstein2(x, y)
    with pytest.raises(NotFinite, match="1 of 5 data points"):
        wasserstein2(y, x)


def spoilt(rows: list[int], value: float = NAN) -> Draw:
    """A sampler that gives `value` in one place of some samples of a batch."""

    def sample(x: Tensor, rng: torch.Generator) -> Tensor:
        x = x.clone()
        x.flatten(1)[rows, 0] = value
        return x

    return sample


@pytest.mark.parametrize("bad", BAD)
def test_the_quality_of_points_says_what_was_lost(points: Dataset, bad: float) -> None:
    this = Trained(Given(lambda t, x: x, own=(("own", spoilt([0, 2], bad)),)), Idle(), points, 0, "cpu")
    quality = Judge(points, Samples(), Path("none"), "cpu", 0).quality(12)
    for part in this.batches("own", "own", 12, 4):
        assert part.lost == 2 and part.nfe == 0
        quality.add(part)
    (row,) = quality.measured()
    assert row.metric == "w2" and math.isnan(row.value) and row.n == 12
    assert row.reason == "6 of 12 samples are not finite"


def test_points_that_w2_does_not_see_do_no_harm(points: Dataset) -> None:
    this = Trained(Given(lambda t, x: x, own=(("own", spoilt([3])),)), Idle(), points, 0, "cpu")
    quality = Judge(points, Samples(w2_n=3), Path("none"), "cpu", 0).quality(4)
    for part in this.batches("own", "own", 4, 4):
        quality.add(part)
    (row,) = quality.measured()
    assert math.isfinite(row.value) and row.reason is None


# Images.


@pytest.fixture(scope="module")
def extractor() -> str:
    """Column means; an image whose first pixel is 7 has a feature that is not a number."""

    def columns(images: Tensor) -> Tensor:
        return torch.where(images[:, 0, 0, :1] == 7, NAN, images[:, 0].float().mean(1))

    return register_extractor("fragile", "columns", columns)


@pytest.fixture
def pictures(extractor: str) -> Dataset:
    """60 + 40 images of 12 x 12 pixels, none of which begins with a 7, each to be drawn anew."""
    draw = torch.Generator().manual_seed(1)
    train, test = (torch.randint(8, 256, (n, 1, 12, 12), generator=draw, dtype=torch.uint8) for n in (60, 40))
    return Dataset("noise", "1", train, test, levels=256, extractor=extractor, given=lambda k: k.float() / 256)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("stage", ["samples", "sweep"])
def test_no_metric_of_images_takes_pixels_that_were_not_finite(
    pictures: Dataset, tmp_path: Path, bad: float, stage: str
) -> None:
    this = Trained(Given(lambda t, x: x, own=(("own", spoilt([1], bad)),)), Idle(), pictures, 0, "cpu")
    quality = Judge(pictures, Samples(), tmp_path, "cpu", 0).quality(20, stage)
    for part in this.batches("own", "own", 20, 10):
        assert part.lost == 1 and part.x.dtype == torch.uint8
        if bad is NAN:
            assert part.x[1, 0, 0, 0] == 128  # grey, whatever the machine casts NaN to
        quality.add(part)
    rows = {row.metric: row for row in quality.measured()}
    assert rows.keys() == {
        "fd_fragile",
        "psnr",
        "ssim",
        *({"kd_fragile", "precision", "recall"} if stage == "samples" else ()),
    }
    for row in rows.values():
        assert math.isnan(row.value) and row.stderr is None and row.n == 20
        assert row.reason == "2 of 20 samples are not finite"


def test_features_that_are_not_finite_are_no_distance(pictures: Dataset, tmp_path: Path) -> None:
    reference = Reference(pictures, "fragile", tmp_path)
    features = reference.collect(40)
    x = pictures.test.clone()
    x[[4, 9], 0, 0, 0] = 7
    features.update(x, 0)
    for row in compare(reference, features):
        assert math.isnan(row.value) and row.reason == "2 of 40 images' features are not finite", row.metric


def test_a_reference_without_features_is_refused_and_not_kept(pictures: Dataset, tmp_path: Path) -> None:
    train = pictures.train.clone()
    train[5, 0, 0, 0] = 7
    spoilt = replace(pictures, train=train)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"extractor 'fragile', train split of 'noise': 1 of 60 images' features"):
            Reference(spoilt, "fragile", tmp_path)


@pytest.mark.parametrize("bad", BAD)
def test_no_pixel_is_made_of_what_is_not_finite(images: Dataset, bad: float) -> None:
    x = torch.zeros(3, 1, 2, 3)
    assert images.decode(x).unique().tolist() == [128]
    x[1, 0, 1, 2] = bad
    with pytest.raises(NotFinite, match="1 of 3 images are not finite"):
        images.decode(x)
    with pytest.raises(UsageError, match="must be uint8"):
        psnr(x, x)


# Paths, densities and solvers.


def test_a_path_that_is_not_finite_has_no_energy() -> None:
    """v = x but at the end of time, where no step of the midpoint rule looks."""

    def f(t: Tensor, x: Tensor) -> Tensor:
        return torch.where((t >= 1) & (x[:, :1] > 0), NAN, x)

    x0 = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [2.0, 0.0]])
    with pytest.raises(NotFinite, match="2 of 3 paths are not finite"):
        follow(f, x0, 1.0, 5, Solver("midpoint", steps=8))


@pytest.mark.parametrize(("levels", "draws"), [(None, 1), (256, 4)])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_infinite_density_is_no_likelihood(
    points: Dataset, images: Dataset, levels: int | None, draws: int, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the log-densities is infinite: of one draw of several, where a bound would not show it."""
    from bench.evaluation import routes as module

    calls = []
    whole = module.log_density

    def once(f, x, *args):
        found = whole(f, x, *args)
        calls.append(1)
        if len(calls) == draws:
            found.log_p[3] = sign * INF
        return found

    monkeypatch.setattr(module, "log_density", once)
    dataset = images if levels else points
    this = Trained(Given(lambda t, x: -x), Idle(), dataset, 0, "cpu")
    asked = Likelihood(n=12, batch=12, draws=draws, solvers=(Solve(method="midpoint", steps=2),), probes=3)
    rows = {(row.metric, row.settings.get("draws")): row for row in likelihood(this, asked, "raw")}
    metric = "nll_bpd" if levels else "nll_nats"
    row = rows[metric, draws]
    assert math.isnan(row.value) and row.reason == "1 of 12 log-densities are not finite" and row.n == 12
    if draws > 1:
        assert math.isfinite(rows[metric, 1].value)
    assert rows["nfe_likelihood", None].value == 4


def test_a_floor_outside_the_support_has_a_reason(points: Dataset) -> None:
    outside = replace(points, log_prob=lambda x: torch.where(x[:, 0] > 0, 0.0, -INF).double())
    this = Trained(Given(lambda t, x: -x), Idle(), outside, 0, "cpu")
    (row,) = (m for m in likelihood(this, Likelihood(n=20, batch=20), "raw") if m.metric == "nll_floor")
    count = int((points.test[:20, 0] <= 0).sum())
    assert 0 < count < 20 and math.isnan(row.value)
    assert row.reason == f"{count} of 20 exact log-densities are not finite"


def test_a_grid_of_densities_may_hold_zeros_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.evaluation import density as module

    whole = module.log_density

    def spoil(value: float) -> None:
        def found(*args, **named):
            density = whole(*args, **named)
            density.log_p[3] = value
            return density

        monkeypatch.setattr(module, "log_density", found)

    spoil(-INF)
    assert log_density_grid(by_ode(lambda t, x: -x, 1.0), 4.0, "cpu", size=4)[0, 3] == -INF
    for bad in (NAN, INF):
        spoil(bad)
        with pytest.raises(NotFinite, match="1 of 16 log-densities of the grid"):
            log_density_grid(by_ode(lambda t, x: -x, 1.0), 4.0, "cpu", size=4)


def test_an_error_of_a_solver_beyond_all_numbers_is_none() -> None:
    this = trained(Given(lambda t, x: x), (2,), 0)
    error = SolverError(this, 4, 4, Unfinished())
    error.reference()[0][1] = INF
    with pytest.raises(NotFinite, match="1 of 4 errors"):
        error.measured(sampler_of(Solver("euler", steps=1)))


# Data.


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_dataset_that_is_not_finite_is_refused(split: str, bad: float) -> None:
    splits = {"train": torch.zeros(300, 3), "test": torch.zeros(200, 3)}
    splits[split][150, 1] = bad
    splits[split][151, 2] = NAN
    with pytest.raises(UsageError) as refused:
        checked("measured", Dataset("measured", "1", **splits))
    said = str(refused.value)
    assert "dataset measured: " in said and f"{split} split: row 150, column 1 is {bad}" in said
    assert "2 of" in said and "\n" not in said
