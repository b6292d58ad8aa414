"""Quality of samples that arrive in pieces, in any order, is that of all of them at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judging import compare, register_extractor
from oracles import GaussianMixture
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from bench.config.settings import Samples
from bench.config.validated import validated
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.evaluation.floors import floors
from bench.evaluation.pictures import Shown
from bench.evaluation.quality import Judge, Quality
from bench.evaluation.trained import Drawn
from bench.metrics.metric import facts_of
from bench.metrics.psnr import psnr
from bench.metrics.ssim import ssim
from bench.records.records import Measurement

DRAW = torch.Generator().manual_seed(0)
N = 30
PIECES = [(7, 14), (0, 7), (28, N), (14, 28)]


def noisy(images: Tensor) -> Tensor:
    return (images + 20 * torch.randn(images.shape, generator=DRAW)).clamp(0, 255).to(torch.uint8)


TEST = torch.randint(0, 256, (40, 1, 12, 12), generator=DRAW, dtype=torch.uint8)
SAMPLES = noisy(TEST[:N])


@pytest.fixture(scope="module")
def pixels() -> str:
    """An extractor that costs nothing: the means of the columns."""
    return register_extractor("columns", "columns", lambda images: images[:, 0].float().mean(1))


@pytest.fixture(scope="module")
def images(pixels: str) -> Dataset:
    """40 test images, each given itself, and 50 training images."""
    draw = torch.Generator().manual_seed(1)
    train = torch.randint(0, 256, (50, 1, 12, 12), generator=draw, dtype=torch.uint8)
    return Dataset("noise", "1", train, TEST, levels=256, extractor=pixels, given=lambda k: k.float())


@pytest.fixture(scope="module")
def judge(images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(images, Samples(), tmp_path_factory.mktemp("data"), "cpu", 0)


def fed(quality: Quality | Shown, x: Tensor, pieces: Sequence[tuple[int, int]]) -> None:
    for start, stop in pieces:
        quality.add(Drawn(start, x[start:stop], nfe=1.0, seconds=0.0))


def named(rows: list[Measurement]) -> dict[str, Measurement]:
    found = {row.metric: row for row in rows}
    assert len(found) == len(rows)
    return found


# Images.


@pytest.mark.parametrize("pieces", [[(0, N)], PIECES, [(i, i + 1) for i in range(N)]], ids=["whole", "pieces", "one"])
def test_images_in_pieces_measure_what_they_measure_at_once(judge: Judge, pieces: Sequence[tuple[int, int]]) -> None:
    quality = judge.quality(N)
    fed(quality, SAMPLES, pieces)
    found = named(quality.measured())
    (reference,) = judge.references
    features = reference.collect(N)
    features.update(SAMPLES, 0)
    expected = named(compare(reference, features))
    assert set(found) == {*expected, "psnr", "ssim"} and "fd_columns" in expected
    for metric, row in expected.items():
        assert found[metric].value == pytest.approx(row.value, rel=1e-9)
        assert replace(found[metric], value=0.0, stderr=None) == replace(row, value=0.0, stderr=None)
    for metric, values in (("psnr", psnr(SAMPLES, TEST[:N])), ("ssim", ssim(SAMPLES, TEST[:N]))):
        assert found[metric].value == pytest.approx(float(values.mean())) and found[metric].n == N
        assert found[metric].stderr == pytest.approx(float(values.std()) / N**0.5)


def test_images_are_like_their_own_targets_alone(judge: Judge) -> None:
    """Of samples one place off only the likeness suffers: their features are those of the same set."""
    moved = SAMPLES.roll(1, 0)
    rows = []
    for x in (SAMPLES, moved):
        quality = judge.quality(N, "sweep")
        fed(quality, x, PIECES)
        rows.append(named(quality.measured()))
    assert rows[1]["fd_columns"].value == pytest.approx(rows[0]["fd_columns"].value, rel=1e-9)
    assert rows[1]["psnr"].value < rows[0]["psnr"].value - 10


def test_grey_levels_are_compared_as_pixels(images: Dataset, pixels: str, tmp_path: Path) -> None:
    """Test images of 17 levels are stretched to 0 ... 255 before anything is compared with them."""
    coarse = replace(images, test=TEST % 17, train=images.train % 17, levels=17)
    quality = Judge(coarse, Samples(), tmp_path, "cpu", 0).quality(5, "sweep")
    fed(quality, coarse.pixels(coarse.test), [(0, 5)])
    assert named(quality.measured())["ssim"].value == pytest.approx(1.0)


def test_where_nothing_is_given_there_is_nothing_to_be_like(images: Dataset, pixels: str, tmp_path: Path) -> None:
    quality = Judge(replace(images, given=None), Samples(), tmp_path, "cpu", 0).quality(N, "sweep")
    fed(quality, SAMPLES, PIECES)
    assert [row.metric for row in quality.measured()] == ["fd_columns"]


def test_images_that_never_came_are_no_value(judge: Judge) -> None:
    quality = judge.quality(N, "sweep")
    fed(quality, SAMPLES, PIECES[:-1])
    with pytest.raises(ValueError, match="16 of 30 samples went in"):
        quality.measured()


# Points.


@pytest.mark.parametrize("pieces", [[(0, 50)], [(12, 24), (36, 50), (0, 12), (24, 36)]], ids=["whole", "pieces"])
def test_points_are_the_first_n_in_their_order(
    points: Dataset, pieces: Sequence[tuple[int, int]], rng: torch.Generator
) -> None:
    x = GaussianMixture.pair().sample(50, rng).float()
    quality = Judge(points, Samples(w2_n=30), Path("none"), "cpu", 0).quality(50)
    fed(quality, x, pieces)
    (row,) = quality.measured()
    squares = torch.cdist(x[:30].double(), points.test[:30].double()).square()
    best = float(squares[linear_sum_assignment(squares)].mean()) ** 0.5
    assert row.metric == "w2" and row.value == pytest.approx(best, rel=1e-5)
    assert row.n == 30 and row.settings == {"split": "test"}


# What is shown.


@pytest.mark.parametrize("n", [1, 7, 10, N, 99])
@pytest.mark.parametrize("pieces", [[(0, N)], PIECES, PIECES[::-1]], ids=["whole", "pieces", "reversed"])
@pytest.mark.parametrize("make", [lambda: SAMPLES, lambda: SAMPLES[:, 0, 0, :2].float()], ids=["images", "points"])
def test_the_first_n_are_shown_in_their_order(
    n: int, pieces: Sequence[tuple[int, int]], make: Callable[[], Tensor]
) -> None:
    shown = Shown(n)
    fed(shown, make(), pieces)
    assert torch.equal(shown.gathered(), make()[:n])


def test_nothing_is_kept_where_nothing_is_shown() -> None:
    shown = Shown(0)
    fed(shown, SAMPLES, PIECES)
    assert shown.parts == []


# The judge.


def test_the_judge_of_points_makes_no_file(points: Dataset, tmp_path: Path) -> None:
    judge = Judge(points, Samples(), tmp_path, "cpu", 0)
    judge.prepare()
    assert [metric.name for metric in judge.quality(5).metrics] == ["w2"]
    assert not list(tmp_path.iterdir())


def test_the_judge_compares_with_the_reference_that_is_asked_for(images: Dataset, tmp_path: Path) -> None:
    judge = Judge(images, Samples(reference="train", reference_n=20), tmp_path, "cpu", 0)
    judge.prepare()
    qualities = [judge.quality(N, stage) for stage in ("samples", "sweep", "curve")]
    for quality in qualities:
        fed(quality, SAMPLES, PIECES)
    full, short, curve = (named(quality.measured()) for quality in qualities)
    assert set(full) == {"fd_columns", "kd_columns", "precision", "recall", "psnr", "ssim"}
    assert set(short) == {"fd_columns", "psnr", "ssim"} and set(curve) == {"fd_columns"}
    assert {"split": "train", "reference_n": 20}.items() <= full["fd_columns"].settings.items()


@pytest.mark.parametrize("stage", ["samples", "sweep", "curve"])
def test_the_rows_that_are_said_before_are_those_that_are_measured(images: Dataset, tmp_path: Path, stage: str) -> None:
    quality = Judge(images, Samples(reference="train"), tmp_path, "cpu", 0).quality(N, stage, {"sampler": "rk4"})
    said = quality.rows
    fed(quality, SAMPLES, PIECES)
    had = quality.measured()
    assert [(row.metric, row.n, row.settings) for row in said] == [(row.metric, row.n, row.settings) for row in had]
    assert all(math.isnan(row.value) and row.settings["sampler"] == "rk4" for row in said)
    assert all(math.isfinite(row.value) and row.reason is None for row in had)


def test_a_distance_that_cannot_be_had_takes_no_other(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def singular(*_: object, **__: object) -> None:
        raise ValueError("a singular product")

    monkeypatch.setattr("bench.metrics.frechet.of_all", singular)
    quality = Judge(images, Samples(reference="train"), tmp_path, "cpu", 0).quality(N)
    fed(quality, SAMPLES, PIECES)
    found = named(quality.measured())
    assert found["fd_columns"].reason == "ValueError: a singular product" and math.isnan(found["fd_columns"].value)
    others = {metric for metric, row in found.items() if row.reason is None and math.isfinite(row.value)}
    assert others == {"kd_columns", "precision", "recall", "psnr", "ssim"}


# Several extractors.


@pytest.fixture(scope="module")
def rows_of_pixels() -> str:
    """A further extractor: the means of the rows."""
    return register_extractor("row_means", "rows", lambda images: images[:, 0].float().mean(2))


def test_several_extractors_measure_what_each_measures_by_itself(
    images: Dataset, judge: Judge, rows_of_pixels: str, tmp_path: Path
) -> None:
    """Side by side in one pass, the dataset's own under the names that it has without the others."""
    config = Samples(extractors=["columns", rows_of_pixels])  # type: ignore[arg-type]
    both = Judge(images, config, tmp_path, "cpu", 0)
    found, of_data = [], []
    alone = Judge(replace(images, extractor=rows_of_pixels), Samples(), tmp_path, "cpu", 0)
    for each in (both, judge, alone):
        quality = each.quality(N)
        fed(quality, SAMPLES, PIECES)
        found.append(named(quality.measured()))
        of_data.append(named(floors(each, N)))
    own, further = ({name: row for name, row in one.items() if name not in ("psnr", "ssim")} for one in found[1:])
    by_rows = {name if name.endswith(rows_of_pixels) else f"{name}_row_means": row for name, row in further.items()}
    assert set(by_rows) == {"fd_row_means", "kd_row_means", "precision_row_means", "recall_row_means"}
    assert {**own, **by_rows}.keys() == found[0].keys() - {"psnr", "ssim"}
    for name, row in {**own, **by_rows}.items():
        assert found[0][name] == replace(row, metric=name)
    assert found[0]["precision"].settings["extractor"] == "columns"
    assert facts_of("precision_row_means").title == "Precision row-means" and facts_of("fd_row_means").place == 30
    assert of_data[0]["recall_row_means_floor"] == replace(of_data[2]["recall_floor"], metric="recall_row_means_floor")
    assert of_data[0]["fd_columns_floor"] == of_data[1]["fd_columns_floor"]


@pytest.mark.parametrize(
    ("extractors", "message"),
    [
        (["columns", "columns"], "extractor 'columns' is named twice"),
        ([{"name": "columns", "layer": 3}], "option 'layer': allowed: weights"),
        ([{"name": "columns", "weights": 3}], "weights = 3: expected the path of a file"),
        ([], "at least 1 item"),
    ],
)
def test_bad_extractors_are_one_line(extractors: object, message: str) -> None:
    with pytest.raises(UsageError) as error:
        validated(Samples, {"extractors": extractors}, "suite x")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "extractor", "message"),
    [
        ({"extractor": None}, None, "dataset 'noise' has no extractor; evaluation.samples.extractors names one"),
        ({}, {"name": "columns", "weights": "none.pth"}, "none.pth': there is no such file"),
        ({}, {"name": "inception", "weights": "none.pth"}, "it has its own, and takes no file"),
    ],
)
def test_an_extractor_that_cannot_be_had_is_one_line(
    images: Dataset, tmp_path: Path, change: dict[str, None], extractor: object, message: str
) -> None:
    config = Samples.model_validate({"extractors": extractor} if extractor else {})
    with pytest.raises(UsageError, match=message):
        Judge(replace(images, **change), config, tmp_path, "cpu", 0).prepare()  # type: ignore[arg-type]
