"""The floor of a metric is what disjoint subsets of fresh data score in the place of samples, measured once."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import ot
import pytest
import torch
from judging import register_extractor
from oracles import Given, Idle
from torch import Tensor

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.order import evenly
from bench.errors import UsageError
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.floors import SUBSETS, floors
from bench.evaluation.parts import Parts
from bench.evaluation.quality import Judge
from bench.evaluation.samples import measure_samples
from bench.evaluation.trained import Drawn, Trained
from bench.metrics.extractors.features import Features
from bench.metrics.metric import facts_of, register_metric
from bench.records.records import Measurement

Registers = Callable[..., list[Tensor]]


def named(rows: list[Measurement]) -> dict[str, Measurement]:
    found = {row.metric: row for row in rows}
    assert len(found) == len(rows)
    return found


def judged(dataset: Dataset, folder: Path, **samples: Any) -> Judge:
    return Judge(dataset, Samples(**samples), folder, "cpu", 0)


@pytest.fixture
def shift(own_entries: None) -> Registers:
    """Registers a metric that is how far the means of both sides are apart; the list that its samples go to."""

    def register(**options: Any) -> list[Tensor]:
        seen: list[Tensor] = []

        @register_metric("shift", title="Shift", **options)
        def measure(x: Tensor, reference: Tensor, dataset: Dataset, rng: torch.Generator) -> float:
            seen.append(x)
            return float((x.double().mean() - reference.double().mean()).abs())

        return seen

    return register


@pytest.fixture(scope="module")
def images() -> Dataset:
    """40 training, 62 test and 9 validation images, measured by the means of their rows."""
    pixels = register_extractor("rows", "rows", lambda images: images[:, 0].float().mean(2))
    draw = torch.Generator().manual_seed(3)
    train, test, validation = (
        torch.randint(0, 256, (n, 1, 6, 6), generator=draw, dtype=torch.uint8) for n in (40, 62, 9)
    )
    return Dataset("noise", "1", train, test, levels=256, extractor=pixels, validation=validation)


def test_parts_of_a_split_are_spread_over_it_and_share_no_row() -> None:
    parts = [evenly(7, 50, part, 5) for part in range(5)]
    assert len(torch.cat(parts).unique()) == 35
    assert torch.equal(evenly(7, 50), torch.arange(7) * 50 // 7)
    assert all(part[0] < 10 and part[-1] >= 40 for part in parts)


def test_w2_of_points_is_that_of_disjoint_training_points(points: Dataset, tmp_path: Path) -> None:
    (row,) = floors(judged(points, tmp_path, w2_n=100), 200)
    values = []
    for part in range(SUBSETS):
        x = points.train[(torch.arange(100) * 5 + part) * 512 // 500]
        cost = ot.dist(x.double().numpy(), points.test[:100].double().numpy())
        values.append(float(ot.emd2([], [], cost)) ** 0.5)
    assert row.metric == "w2_floor" and row.n == 100
    assert row.value == pytest.approx(fmean(values), rel=1e-6)
    assert row.stderr == pytest.approx(stdev(values) / math.sqrt(5), rel=1e-6)
    assert row.settings == {"split": "test", "floor_split": "train", "repeats": 5}


def test_a_set_against_itself_is_no_distance_away(points: Dataset, tmp_path: Path) -> None:
    same = replace(points, train=points.test, validation=None)
    (row,) = floors(judged(same, tmp_path, w2_n=256), 1000)
    assert (row.value, row.stderr, row.n, row.settings["repeats"]) == (pytest.approx(0.0, abs=1e-6), None, 256, 1)


def test_images_have_as_many_subsets_as_the_other_split(images: Dataset, tmp_path: Path) -> None:
    few, all_of_them = floors(judged(images, tmp_path), 10), floors(judged(images, tmp_path), 60)
    assert set(named(few)) == {f"{name}_floor" for name in ("fd_rows", "kd_rows", "precision", "recall")}
    for rows, n, repeats in ((few, 10, 5), (all_of_them, 60, 1)):
        assert {(row.n, row.settings["repeats"], row.settings["floor_split"]) for row in rows} == {(n, repeats, "test")}
        assert all(math.isfinite(row.value) for row in rows)
    judge = judged(images, tmp_path)
    single = []
    for part in range(5):
        quality = judge.quality(10)
        metric, features, rows = quality.of[0]
        single.append(judge.measured(metric, features.fresh("test", 10, part, 5), rows)[0].value)
    assert named(few)["fd_rows_floor"].value == pytest.approx(fmean(single), rel=1e-9)
    assert len(set(single)) == 5


def test_features_of_subsets_are_extracted_once_and_kept_nowhere(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, extracted = judged(images, tmp_path), list[int]()
    (reference,) = judge.references
    again = reference._extracted

    def counted(split: str, n: int, part: int = 0, parts: int = 1) -> Features:
        extracted.append(part)
        return again(split, n, part, parts)

    monkeypatch.setattr(reference, "_extracted", counted)
    assert len(floors(judge, 10)) == 4 and extracted == [0, 1, 2, 3, 4]
    assert not reference.parts
    (path,) = (tmp_path / "fidelity").glob("*.pt")
    assert "-train-40-" in path.name


def test_one_subset_is_the_split_spread_evenly(images: Dataset, tmp_path: Path) -> None:
    """As a floor has always been: image i is number floor(i N / n) of the other split."""
    judge = judged(images, tmp_path)
    quality = judge.quality(40)
    quality.add(Drawn(0, images.test[torch.arange(40) * 62 // 40], nfe=1.0, seconds=0.0))
    by_hand = named(quality.measured())
    found = named(floors(judged(images, tmp_path), 40))
    for name, row in by_hand.items():
        assert found[f"{name}_floor"].value == pytest.approx(row.value, rel=1e-12)
        assert found[f"{name}_floor"].stderr == row.stderr


def test_a_floor_is_measured_once(points: Dataset, tmp_path: Path, shift: Registers) -> None:
    seen = shift()
    first = floors(judged(points, tmp_path, metrics=["shift"]), 50)
    assert len(seen) == 5 and len(torch.cat(seen).unique(dim=0)) == 250
    for seed in (0, 1):
        judge = Judge(points, Samples(metrics=["shift"]), tmp_path, "cpu", seed)
        assert floors(judge, 50) == first and len(seen) == 5
    other = floors(judged(points, tmp_path, metrics=["shift"]), 60)
    assert len(seen) == 10 and other[0].n == 60
    moved = floors(judged(replace(points, test=points.test + 1), tmp_path, metrics=["shift"]), 50)
    assert len(seen) == 15 and moved[0].value == pytest.approx(1, abs=0.4)


def test_what_cannot_be_kept_is_measured_each_time(
    points: Dataset, tmp_path: Path, shift: Registers, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = shift()

    def refused(*_: object) -> Path:
        raise UsageError("floors can be kept nowhere")

    monkeypatch.setattr("bench.metrics.extractors.cache.kept", refused)
    for count in (5, 10):
        (row,) = floors(judged(points, tmp_path, metrics=["shift"]), 50)
        assert len(seen) == count and math.isfinite(row.value)
    assert not list(tmp_path.iterdir())


def test_data_is_fresh_if_neither_reference_nor_metric_knows_it(
    points: Dataset, images: Dataset, tmp_path: Path, shift: Registers
) -> None:
    shift(of_train=True)
    held = replace(points, validation=points.train[:100] + 5)
    (row,) = floors(judged(held, tmp_path, metrics=["shift"]), 50)
    assert row.settings["floor_split"] == "validation" and row.settings["repeats"] == 2
    assert row.value == pytest.approx(5, abs=0.5)
    (row,) = floors(judged(points, tmp_path, metrics=["shift"]), 50)
    assert row.reason == "not applicable: no split of pair is fresh to shift" and row.metric == "shift_floor"
    for reference in ("train", "test"):  # test is what such a metric knows as not trained on
        (row,) = floors(judged(images, tmp_path, metrics=["shift"], reference=reference), 8)
        assert row.settings["floor_split"] == "validation" and row.settings["split"] == "train and test"


def test_points_that_are_given_something_are_drawn_exactly_for_the_same(
    points: Dataset, tmp_path: Path, shift: Registers
) -> None:
    seen = shift()

    def posterior(c: Tensor, rng: torch.Generator) -> Tensor:
        return torch.cat([c, c], 1) + torch.randn(len(c), 2, generator=rng)

    given = {f"{split}_given": torch.arange(float(len(getattr(points, split))))[:, None] for split in ("train", "test")}
    told = replace(points, log_prob=None, **given)
    (row,) = floors(judged(told, tmp_path, metrics=["shift"]), 60)  # other points are given something else
    assert row.reason == "not applicable: no split of pair is given what its samples are" and not seen
    (row,) = floors(judged(replace(told, posterior=posterior), tmp_path, metrics=["shift"]), 60)
    assert row.settings["floor_split"] == "posterior" and row.settings["repeats"] == 5 and row.stderr is not None
    for x in seen:
        assert torch.equal(x[:, 2], torch.arange(60.0)) and (x[:, 0] - x[:, 2]).abs().max() < 6
    assert len(torch.cat(seen)[:, 0].unique()) == 300


def test_a_floor_that_cannot_be_had_has_the_reason_and_is_not_kept(
    points: Dataset, tmp_path: Path, own_entries: None
) -> None:
    answers = iter([1.0, math.nan, 1.0, 1.0, 1.0, *range(5)])
    register_metric("odd", title="Odd")(lambda *_: next(answers))
    lost, had = (floors(judged(points, tmp_path, metrics=["odd"]), 20)[0] for _ in range(2))
    assert math.isnan(lost.value) and lost.reason == "1 of 5 values are not finite"
    assert (lost.metric, lost.n, lost.settings) == (had.metric, had.n, had.settings)
    assert (had.value, had.stderr) == (2.0, pytest.approx(math.sqrt(2.5 / 5)))


def test_a_metric_that_fails_costs_its_floor(points: Dataset, tmp_path: Path, own_entries: None) -> None:
    register_metric("wrong", title="Wrong")(lambda *_: 1 / 0)
    wrong, w2 = floors(judged(points, tmp_path, metrics=["wrong", "w2"]), 20)
    assert wrong.reason == "ZeroDivisionError: division by zero" and w2.reason is None


def test_a_metric_of_the_data_alone_has_the_same_floor_for_any_seed(
    points: Dataset, tmp_path: Path, own_entries: None
) -> None:
    register_metric("noisy", title="Noisy")(lambda x, reference, dataset, rng: float(torch.rand((), generator=rng)))
    folders = [tmp_path / "0", tmp_path / "1"]
    rows = [floors(Judge(points, Samples(metrics=["noisy"]), folder, "cpu", i), 20) for i, folder in enumerate(folders)]
    assert rows[0] == rows[1] and rows[0][0].stderr > 0


@pytest.mark.parametrize(("curve_n", "sizes"), [(0, [30]), (12, [30, 12]), (30, [30])])
def test_the_curve_of_a_training_has_floors_of_its_own_size(
    points: Dataset, tmp_path: Path, curve_n: int, sizes: list[int]
) -> None:
    config = Samples(n=40, batch=40, w2_n=30, path_n=5, path_times=3)
    trained = Trained(Given(lambda t, x: 0 * x), Idle(), points, 0, "cpu")
    parts = Parts(lambda text: None)
    judge = Judge(points, config, tmp_path, "cpu", 0)
    measure_samples(Evaluator(trained, judge, config, "raw", lambda text: None), parts, curve_n)
    assert [row.n for row in parts.rows if row.metric == "w2_floor"] == sizes


def test_the_floor_of_a_curve_is_of_the_split_that_it_is_measured_on(points: Dataset, tmp_path: Path) -> None:
    data = replace(points, validation=points.test[:60] + 1)
    config = Samples(n=40, batch=40, w2_n=30, path_n=5, path_times=3)
    trained, parts = Trained(Given(lambda t, x: 0 * x), Idle(), data, 0, "cpu"), Parts(lambda text: None)
    judge = Judge(data, config, tmp_path, "cpu", 0)
    measure_samples(Evaluator(trained, judge, config, "raw", lambda text: None), parts, 30)
    final, of_curve = (row for row in parts.rows if row.metric == "w2_floor")
    assert (final.n, final.settings["split"]) == (30, "test")
    assert (of_curve.n, of_curve.settings["split"]) == (30, "validation")
    (expected,) = floors(Judge(data.for_tuning, config, tmp_path / "other", "cpu", 0), 30, "curve")
    assert of_curve == expected and of_curve.value > final.value


def test_a_floor_is_named_after_its_metric() -> None:
    assert facts_of("w2_floor").title == "W₂ floor" and facts_of("w2_floor").direction == ""
