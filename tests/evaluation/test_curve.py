"""A point of the curve is measured on the validation split where there is one, and says so."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judging import register_extractor
from oracles import Given, Idle
from tiny import runs

from bench.config.registry import metrics
from bench.config.settings import Likelihood, Samples
from bench.datasets.base import Dataset
from bench.evaluation.curve import measure_curve
from bench.evaluation.defensive import log_broad
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.parts import Parts, Rows
from bench.evaluation.pictures import Shown
from bench.evaluation.quality import Judge
from bench.evaluation.stages import Stages
from bench.evaluation.trained import Drawn, Trained
from bench.launch.task import Task
from bench.metrics.metric import register_metric
from bench.metrics.w2 import wasserstein2

N = 20


def curve(dataset: Dataset, folder: Path) -> Rows:
    """A point of the curve of a method that leaves its noise as it is."""
    judge = Judge(dataset, Samples(n=N, batch=N), folder, "cpu", 0).for_tuning
    still = Trained(Given(lambda t, x: 0 * x), Idle(), judge.dataset, 0, "cpu")
    parts = Parts(lambda text: None)
    measure_curve(
        Evaluator(still, judge, Samples(n=N, batch=N), "raw", lambda text: None),
        Likelihood(n=N, batch=N),
        parts,
        Shown(0),
    )
    return parts.rows


@pytest.mark.parametrize("split", ["validation", "test"])
def test_curves_are_measured_on_validation_where_there_is_one(points: Dataset, tmp_path: Path, split: str) -> None:
    moved = points.test.flip(0) + 3
    dataset = replace(points, validation=moved if split == "validation" else None)
    held_out = moved if split == "validation" else points.test
    rows = {row.metric: row for row in curve(dataset, tmp_path)}
    nll = held_out[:N].double().square().sum(1) / 2 + math.log(2 * math.pi)
    assert rows["nll_nats"].value == pytest.approx(float(nll.mean()), rel=1e-5)
    bounded = -torch.logaddexp(math.log(0.999) - nll, math.log(0.001) + log_broad(replace(points, test=held_out), N))
    assert rows["nll_defensive_nats"].value == pytest.approx(float(bounded.mean()), rel=1e-5)
    noise = Trained(Given(lambda t, x: x), Idle(), points, 0, "cpu").noise(0, N)
    assert rows["w2"].value == pytest.approx(wasserstein2(noise, held_out[:N]), rel=1e-6)
    assert rows["nll_nats"].settings["split"] == rows["w2"].settings["split"] == split


@pytest.mark.slow
def test_the_reference_of_images_stays_and_what_they_should_be_is_of_validation(
    images: Dataset, tmp_path: Path
) -> None:
    data = replace(images, validation=255 - images.test, given=lambda k: k.float() / 128 - 1)
    judge = Judge(data, Samples(metrics=("fid", "psnr")), tmp_path, "cpu", 0)
    judge.references = [object()]  # type: ignore[list-item]
    tuning = judge.for_tuning
    assert tuning.references is judge.references and torch.equal(tuning.dataset.test, 255 - images.test)
    (pairs,) = tuning.collections("pairs", [metrics["psnr"]], 5, "samples")
    pairs.add(Drawn(0, 255 - images.test[:5], 1.0, 0.0))
    best = pairs.of(metrics["psnr"])[0]
    (pairs,) = judge.collections("pairs", [metrics["psnr"]], 5, "samples")
    pairs.add(Drawn(0, 255 - images.test[:5], 1.0, 0.0))
    assert (best > pairs.of(metrics["psnr"])[0]).all() and best.unique().numel() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "validated"), [("train", True), ("test", True), ("test", False)])
def test_the_reference_of_tuning_is_never_test_where_there_is_validation(
    images: Dataset, tmp_path: Path, reference: str, validated: bool, own_entries: None
) -> None:
    """By one rule for what is gathered and for features; of training images both stay."""
    name = register_extractor(f"rows{reference}{validated}", "rows", lambda x: x[:, 0].float().flatten(1))
    data = replace(images, extractor=name, validation=255 - images.test[:8] if validated else None)
    register_metric("brightness", title="Brightness", data="images", in_curve=True)(lambda x, y, *_: y.double().mean())
    config = Samples(metrics=("fid", "brightness"), reference=reference, reference_n=9)
    judge = Judge(data, config, tmp_path, "cpu", 0)
    quality = judge.for_tuning.quality(9, "curve")
    quality.add(Drawn(0, images.test[:9], 1.0, 0.0))
    fd, brightness = quality.measured()
    split = "validation" if validated and reference == "test" else reference
    held = {"train": images.train, "test": images.test, "validation": 255 - images.test[:8]}[split]
    n = min(9, len(held))
    real = held[torch.arange(n) * len(held) // n].double()
    for row in (fd, brightness):
        assert (row.settings["split"], row.settings["reference_n"]) == (split, n)
    assert brightness.value == pytest.approx(float(real.mean()))
    torch.testing.assert_close(judge.for_tuning.references[0].features.mean, real[:, 0].flatten(1).mean(0))
    assert judge.references[0].settings["split"] == reference


@pytest.mark.slow
def test_a_run_has_its_curve_by_the_solver_of_its_headline(tmp_path: Path) -> None:
    solvers = [{"method": "dopri5", "rtol": 1e-2}]
    settings = {"evaluation.likelihood.solvers": solvers, "training.curve_points": 1, "training.curve_n": 8}
    (run,) = runs(tmp_path, seeds=(0,), baselines=("fm_ot",), settings=settings)
    stages = Stages(Task(run, tmp_path / "results", tmp_path / "data"), lambda text: None)
    nll, bounded = (row for row in stages.validate(stages.trainer.module) if row.metric.startswith("nll"))
    assert (nll.metric, bounded.metric) == ("nll_nats", "nll_defensive_nats") and nll.n == bounded.n
    assert (nll.n, nll.settings["solver"], nll.settings["rtol"]) == (8, "dopri5", 1e-5)
