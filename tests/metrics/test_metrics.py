"""Every metric says what its numbers are, and gives the one that is known where one is known."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SUITE, runs, write_suite

from bench.config.beforehand import validate
from bench.config.registry import metrics
from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.toys import checkerboard_log_prob
from bench.errors import NotApplicable, UsageError
from bench.evaluation.quality import Judge
from bench.evaluation.trained import Drawn
from bench.metrics.chosen import chosen, usual
from bench.metrics.extractors.features import Features
from bench.metrics.metric import facts_of, metric_of, register_metric
from bench.records.frame import read_frame
from bench.records.records import Measurement

GROUPS = {"quality", "likelihood", "geometry", "cost", ""}
IMAGES = torch.randint(0, 256, (8, 1, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def features(x: torch.Tensor) -> Features:
    """Of the pixels themselves, with two classes by the first of them."""

    def network(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = pixels.flatten(1).float()
        return flat[:, :3], torch.stack([flat[:, 0], -flat[:, 0]], 1) - 100

    found = Features(len(x), network, torch.zeros(3), 2)
    found.update(x, 0)
    return found


BEGINS = torch.tensor([0, 255] * 4, dtype=torch.uint8)  # classes that a classifier is sure of, half of each
SURE = torch.cat([BEGINS[:, None, None, None].expand(-1, 1, 12, 1), IMAGES[..., 1:]], 3)
SHIFTED = torch.zeros(5, 2), torch.tensor([[3.0, 4.0]]).expand(5, 2)
K2 = sum(math.exp(-2 / (2 * s) ** 2) for s in (4, 2, 1, 0.5, 0.25)) / 5  # of a median of 2
BOARD = Dataset("board", "1", torch.ones(9, 2), torch.ones(9, 2), log_prob=checkerboard_log_prob)
SPLIT = Dataset("split", "1", IMAGES[:4], IMAGES[4:], levels=256)
NORMAL = Dataset(
    *("normal", "1", torch.ones(9, 1), torch.ones(9, 1)),
    log_prob=lambda x: -(x.square().sum(1) + math.log(2 * math.pi)) / 2,
)
DATA = {"support": BOARD, "gaussian_kl": NORMAL, "memorisation": SPLIT}
FLAT = torch.zeros(8, 1, 12, 12, dtype=torch.uint8)
KNOWN: dict[str, tuple[Any, Any, list[float]]] = {
    "w2": (*SHIFTED, [5.0]),
    "sliced_w2": (torch.zeros(5, 1), torch.full((3, 1), 5.0), [5.0]),
    "energy_distance": (*SHIFTED, [10.0]),
    "mmd": (torch.full((2, 1), 1e9), torch.tensor([[0.0], [2.0]]), [1 + K2]),  # k(0, 0) + k(0, 2) - 2 k(0, 1e9)
    "c2st": (torch.zeros(10, 1), torch.ones(10, 1), [1.0]),
    "density_coverage": (features(SURE), features(SURE), [1.0, 1.0]),
    "support": (torch.full((4, 2), 9.0), None, [1.0, 1.0]),
    "gaussian_kl": (torch.tensor([[1.0], [3.0]]), torch.arange(4.0)[:, None], [2.0]),  # mean 2, variance 1
    "memorisation": (IMAGES[:2], None, [1.0, (3 / 7) ** 0.5]),
    "fid": (features(SURE), features(SURE), [0.0]),
    "fid_inf": (features(FLAT), features(FLAT + 3), [3 * 3**2, math.nan]),  # a line through equal values
    "kid": (features(FLAT), features(FLAT + 3), [1 + (3 * 3 + 1) ** 3 - 2, 0.0]),  # k(0, 0) + k(3, 3) - 2 k(0, 3)
    "precision_recall": (features(SURE), features(SURE), [1.0, 1.0]),
    "inception_score": (features(SURE[:2]), None, [1.0, 0.0]),  # a split of one image knows no other class
    "psnr": (IMAGES[:1], IMAGES[:1] ^ 1, [10 * math.log10(255**2)]),
    "ssim": (IMAGES[:1], IMAGES[:1], [1.0]),
}


def of_samples() -> list[str]:
    return [name for name, metric in metrics.items() if metric.needs]


@pytest.mark.parametrize("name", list(metrics))
def test_a_metric_says_what_its_numbers_are(name: str) -> None:
    metric = metrics[name]
    assert metric.name == name and metric.facts and metric.data in ("points", "images", "any")
    for number, facts in metric.facts.items():
        assert facts.title and facts.group in GROUPS and facts.direction in ("lower", "higher", "")
        assert facts.meaning.endswith("."), number
        assert metric_of(number) is metric and facts_of(number).title.startswith(facts.title)


def test_no_two_numbers_share_a_title() -> None:
    titles = [facts.title for metric in metrics.values() for facts in metric.facts.values()]
    assert len(titles) == len(set(titles))


@pytest.mark.slow
@pytest.mark.parametrize("name", of_samples())
def test_a_metric_gives_the_number_that_is_known(name: str) -> None:
    x, reference, known = KNOWN[name]
    found = metrics[name].measure(x, reference, DATA.get(name), torch.Generator())
    values = found if isinstance(found, tuple) else (found,)
    assert [float(value[0] if isinstance(value, tuple) else value) for value in values] == pytest.approx(
        known, abs=1e-4, nan_ok=True
    )


def test_names_of_features_are_those_of_their_extractor() -> None:
    assert metrics["fid"].numbers("inception") == ["fid"] and metrics["fid"].numbers("digits_cnn") == ["fd_digits_cnn"]
    assert metrics["precision_recall"].numbers("digits_cnn") == ["precision", "recall"]
    facts = facts_of("kd_digits_cnn")
    assert facts.title == "KD digits-cnn" and "'digits_cnn'" in facts.meaning and facts.direction == "lower"
    floor = facts_of("fd_digits_cnn_floor")
    assert floor.title == "FD digits-cnn floor" and floor.direction == "" and floor.group == "quality"
    assert facts_of("of_a_plugin").title == "of_a_plugin" and facts_of("of_a_plugin").group == ""


def test_usual_metrics_go_by_the_data() -> None:
    assert usual(False, False) == usual(False, True) == ("w2",)
    assert usual(True, False) == ("fid", "kid", "precision_recall", "inception_score")
    assert usual(True, True) == (*usual(True, False), "psnr", "ssim")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["w3"], "unknown metric of samples 'w3'; known: c2st, "),
        (["nll"], "unknown metric of samples 'nll'"),
        (["w2", "fid"], "'fid' is for images, and the data are points; allowed: c2st, density_coverage, "),
    ],
)
def test_a_name_that_cannot_be_measured_is_one_line(names: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        chosen(names, False, False)
    assert message in str(error.value) and str(error.value).startswith("evaluation.samples.metrics: ")
    assert "\n" not in str(error.value)


def test_a_bad_name_is_found_before_anything_runs(tmp_path: Path) -> None:
    text = SUITE.replace("n = 40, batch = 40,", 'n = 40, batch = 40, metrics = "w3",')
    with pytest.raises(UsageError, match="unknown metric of samples 'w3'; known: c2st"):
        validate(runs(tmp_path, text))


def test_named_metrics_are_measured_in_their_order(points: Dataset, own_entries: None) -> None:
    register_metric("mean", title="Mean", data="points", in_sweep=True)(lambda x, y, *_: (x.mean(), 0.5))
    judge = Judge(points, Samples(metrics=("mean", "w2"), w2_n=3), Path("none"), "cpu", seed=3)
    quality = judge.quality(5)
    quality.add(Drawn(0, torch.ones(5, 2), 1.0, 0.0))
    mean, w2 = quality.measured()
    assert (mean.metric, mean.value, mean.stderr, mean.n, mean.settings) == ("mean", 1.0, 0.5, 5, {"split": "test"})
    assert (w2.metric, w2.n) == ("w2", 3)
    assert [metric.name for metric in judge.quality(5, "curve").metrics] == ["w2"]
    assert [metric.name for metric in judge.quality(5, "sweep").metrics] == ["mean", "w2"]


def test_settings_that_cannot_be_had_are_said_before_anything_is_drawn(points: Dataset, own_entries: None) -> None:
    register_metric("mine", title="Mine", settings=lambda x, reference: {"bins": x.bins})(lambda *_: 0.0)
    judge = Judge(points, Samples(metrics="mine"), Path("none"), "cpu", 0)
    with pytest.raises(UsageError, match=r"^metric 'mine': settings\(x, reference\): AttributeError: 'Tensor'.*bins"):
        judge.prepare()


def test_a_setting_that_no_record_can_hold_is_said_as_well(points: Dataset, own_entries: None) -> None:
    register_metric("mine", title="Mine", settings=lambda x, reference: {("a", 1): 2})(lambda *_: 0.0)
    judge = Judge(points, Samples(metrics="mine"), Path("none"), "cpu", 0)
    with pytest.raises(UsageError, match=r"^metric 'mine': settings\(x, reference\): TypeError: keys must be str"):
        judge.prepare()


def test_settings_that_are_not_applicable_leave_the_metric_without_a_value(points: Dataset, own_entries: None) -> None:
    def settings(x: Any, reference: Any) -> dict[str, Any]:
        raise NotApplicable("it needs classes")

    register_metric("mine", title="Mine", settings=settings)(lambda *_: 0.0)
    quality = Judge(points, Samples(metrics="mine"), Path("none"), "cpu", 0).quality(5, quote={"batch": 5})
    quality.add(Drawn(0, torch.ones(5, 2), 1.0, 0.0))
    (row,) = quality.measured()
    assert (row.reason, row.settings) == ("not applicable: it needs classes", {"split": "test", "batch": 5})
    assert math.isnan(row.value) and row.n == 5


def test_a_metric_has_a_generator_of_its_own(points: Dataset, own_entries: None) -> None:
    for name in ("one", "two"):
        register_metric(name, title=name.title())(lambda x, y, dataset, rng: torch.rand((), generator=rng))

    def measured(seed: int) -> list[float]:
        quality = Judge(points, Samples(metrics=("one", "two")), Path("none"), "cpu", seed).quality(2)
        quality.add(Drawn(0, torch.ones(2, 2), 1.0, 0.0))
        return [row.value for row in quality.measured()]

    assert measured(0) == measured(0) and len({*measured(0), *measured(1)}) == 4


def measured(dataset: Dataset, n: int, stage: str = "samples", **told: Any) -> list[Measurement]:
    """What the metrics of the samples' settings say of n zeros."""
    quality = Judge(dataset, Samples(**told), Path("none"), "cpu", 0).quality(n, stage)
    quality.add(Drawn(0, torch.zeros(n, 2), 1.0, 0.0))
    return quality.measured()


@pytest.mark.parametrize("stage", ["samples", "sweep"])
def test_a_metric_takes_no_more_than_its_limit_or_the_suites(points: Dataset, own_entries: None, stage: str) -> None:
    register_metric("mine", title="Mine", in_sweep=True, limit=7)(lambda x, y, *_: len(x) + len(y))
    (row,) = measured(points, 9, stage, metrics="mine")
    assert (row.value, row.n) == (14, 7)
    (row,) = measured(points, 9, stage, metrics="mine", limits={"mine": 8})
    assert (row.value, row.n) == (16, 8)
    (row,) = measured(points, 300, stage, metrics="mine", limits={"mine": 1000})
    assert (row.value, row.n) == (512, 256)  # are held out


def test_of_too_few_a_metric_is_not_applicable(points: Dataset, own_entries: None) -> None:
    settings = lambda x, reference: {"first": float(x[4, 0])}  # noqa: E731
    register_metric("mine", title="Mine", settings=settings, least=5)(lambda x, *_: x[4, 0])
    (row,) = measured(points, 4, metrics="mine")
    assert row.reason == "not applicable: 4 samples, and mine needs 5" and row.settings == {"split": "test"}
    (row,) = measured(points, 5, metrics="mine")
    assert row.reason is None and row.value == 0


@pytest.mark.parametrize("name", ["sliced_w2", "energy_distance", "mmd", "c2st", "density_coverage", "memorisation"])
def test_points_that_are_not_finite_are_at_no_distance(points: Dataset, name: str) -> None:
    quality = Judge(points, Samples(metrics=name), Path("none"), "cpu", 0).quality(9)
    quality.add(Drawn(0, torch.full((9, 2), math.nan), 1.0, 0.0))
    assert {row.reason for row in quality.measured()} == {"9 of 9 samples are not finite"}


def test_a_metric_may_be_of_values_for_points_and_of_features_for_images() -> None:
    of_points, of_images = (chosen(["density_coverage"], is_image, False)[0] for is_image in (False, True))
    assert (of_points.needs, of_images.needs) == ("samples", "features")
    assert of_points.facts == of_images.facts


def test_what_looks_at_both_splits_says_so(points: Dataset, images: Dataset) -> None:
    for dataset in (points, images):
        judge = Judge(dataset, Samples(metrics="memorisation"), Path("none"), "cpu", 0)
        (row,) = judge.quality(9).rows
        assert row.settings == {"split": "train and test"}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"w2": 9}, "'w2': allowed are its metrics with a limit: mmd"),
        ({"c2st": 9}, "'c2st': allowed are its metrics with a limit: mmd"),
        ({"mmd": 9}, None),
    ],
)
def test_limits_are_of_metrics_that_have_one(limits: dict[str, int], message: str | None) -> None:
    if message is None:
        assert len(chosen(["w2", "mmd"], False, False, limits)) == 2
        return
    with pytest.raises(UsageError) as error:
        chosen(["w2", "mmd"], False, False, limits)
    assert str(error.value) == f"evaluation.samples.limits: {message}"
    with pytest.raises(UsageError, match=r"'density_coverage': allowed are its metrics with a limit: memorisation$"):
        chosen(["density_coverage", "memorisation"], True, False, {"density_coverage": 50})  # features are of all
    assert chosen(["density_coverage"], False, False, {"density_coverage": 50})
    with pytest.raises(UsageError, match=r"'fid': none has a limit$"):
        chosen(["w2"], False, False, ["fid"])


def test_what_is_no_metric_is_refused(own_entries: None) -> None:
    with pytest.raises(UsageError, match=r"metric 'mine': 1.0 is no function \(samples, reference, dataset, rng\)"):
        register_metric("mine", title="Mine")(1.0)
    with pytest.raises(UsageError, match="unexpected keyword argument 'better'"):
        register_metric("mine", title="Mine", better="lower")(lambda *_: 0.0)
    with pytest.raises(UsageError, match="it has no title"):
        register_metric("mine")(lambda *_: 0.0)
    with pytest.raises(UsageError, match="metric 'w2' is registered twice"):
        register_metric("w2", title="Mine")(lambda *_: 0.0)


def test_a_score_without_its_classifier_is_not_applicable(images: Dataset, tmp_path: Path) -> None:
    judge = Judge(images, Samples(metrics=("inception_score", "psnr")), tmp_path, "cpu", 0)

    class Real:
        extractor, features, settings = type("", (), {"name": "x"}), features(SURE), {"split": "train"}

        def collect(self, n: int) -> Features:
            found = Features(n, lambda pixels: (pixels[:, 0, 0].float(), torch.zeros(len(pixels), 0)), torch.zeros(3))
            return found

    judge.references = [Real()]  # type: ignore[list-item]
    quality = judge.quality(4)
    quality.add(Drawn(0, images.test[:4], 1.0, 0.0))
    score, psnr = quality.measured()
    assert score.reason == "not applicable: the extractor's weights have no classifier"
    assert psnr.reason == "not applicable: no image is drawn to fit what it is given"


PLUGIN = '''
"""A metric of a user."""

from bench import register_metric


@register_metric("spread", title="Spread", unit="m", direction="higher", data="points", in_sweep=True)
def spread(samples, reference, dataset, rng):
    """Standard deviation over that of the data."""
    return float(samples.std() / reference.std())
'''


@pytest.mark.slow
@pytest.mark.usefixtures("warm_interpreters")
def test_a_metric_of_a_plugin_goes_from_its_file_to_a_report_without_it(tmp_path: Path) -> None:
    (tmp_path / "spread.py").write_text(PLUGIN)
    text = SUITE.replace("n = 40, batch = 40,", 'n = 40, batch = 40, metrics = ["spread", "w2"],')
    text = text.replace('["fm_ot", "ddpm"]', '["fm_ot"]').replace(SUITE[SUITE.index("overrides.ddpm") :], "")
    suite = write_suite(tmp_path, text + 'evaluation.sweep = { n = 20, solvers = ["euler"], nfe = [4] }\n')
    command = [sys.executable, "run_all.py", "--suite", suite, "--results", tmp_path / "results"]
    plugin = ["--plugin", tmp_path / "spread.py"]

    def call(*options: object) -> None:
        subprocess.run([*map(str, (*command, *options))], check=True, timeout=300, capture_output=True)

    call(*plugin, "--workers", "1")
    frame = read_frame(tmp_path / "results" / "tiny")
    rows = frame[frame.metric == "spread"]
    assert set(rows.stage) == {"samples", "sweep"} and rows.value.gt(0).all() and set(frame.status) == {"ok"}
    assert set(rows.title) == {"Spread"} and set(rows.unit) == {"m"} and set(rows.direction) == {"higher"}
    assert set(rows[rows.stage == "samples"].n) == {40}
    record = json.loads(next((tmp_path / "results/tiny/runs").glob("*/samples.json")).read_text())
    assert any(path.endswith("spread.py") for path in record["plugins"])
    call("--report")
    assert "Spread" in (tmp_path / "results/tiny/report.html").read_text(encoding="utf-8")
