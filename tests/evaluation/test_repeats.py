"""Samples that are drawn several times: the mean of what each draw measures, the first as without repeats."""

import math
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from oracles import Given, Idle
from torch import Tensor

from bench.config.sampling import is_taken
from bench.config.settings import Component, Samples
from bench.datasets.base import Dataset
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.parts import Parts
from bench.evaluation.quality import Judge
from bench.evaluation.repeats import mean_of
from bench.evaluation.samples import measure_samples
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.metrics.metric import FLOOR
from bench.records.records import Measurement
from bench.training.seeds import number

R = 3
WAYS = (Component(name="euler", options={"steps": 4}),)
Rows = dict[tuple[str, str], Measurement]


def velocity(t: Tensor, x: Tensor) -> Tensor:
    return 1 - 0.5 * x


def measured(
    dataset: Dataset, folder: Path, repeats: int = 1, seed: int = 5, unfinished: Unfinished | None = None
) -> tuple[Rows, Parts]:
    """The measurements of samples, but for what the clock says, by metric and sampler."""
    config = Samples(n=40, batch=20, w2_n=30, path_n=5, path_times=3, samplers=WAYS, repeats=repeats)
    judge = Judge(dataset, config, folder, "cpu", seed)
    parts = Parts(lambda text: None, unfinished)
    measure_samples(
        Evaluator(Trained(Given(velocity), Idle(), dataset, seed, "cpu"), judge, config, "raw", print), parts
    )
    found = {(row.metric, row.settings.get("sampler", "")): row for row in parts.rows}
    assert len(found) == len(parts.rows)
    return {key: row for key, row in found.items() if key[0] not in ("sampling_seconds", "peak_memory_bytes")}, parts


def test_a_mean_has_the_standard_error_of_its_repeats() -> None:
    rows = [[Measurement("w2", value, n=7, seconds=2.0)] for value in (1.0, 2.0, 6.0)]
    (mean,) = mean_of(rows)
    assert (mean.value, mean.n, mean.seconds) == (3.0, 7, 6.0)
    assert mean.stderr == pytest.approx(math.sqrt(7 / 3))
    assert mean_of(rows[:1]) == rows[0]


def test_what_one_repeat_lacks_has_its_reason() -> None:
    lost = Measurement("w2", reason="1 of 7 samples are not finite")
    assert mean_of([[Measurement("w2", 1.0)], [lost], [Measurement("w2", 2.0)]]) == [lost]


def test_the_mean_of_repeats_is_that_of_single_draws(points: Dataset, tmp_path: Path) -> None:
    found, parts = measured(points, tmp_path, R)
    single = [measured(points, tmp_path, seed=seed)[0] for seed in (5, *(number(5, "repeat", i) for i in range(1, R)))]
    for sampler in ("dormand_prince", "euler"):
        for metric in ("w2", "nfe_sampling"):
            row, values = found[metric, sampler], [one[metric, sampler].value for one in single]
            assert row.value == pytest.approx(fmean(values), rel=1e-12)
            assert row.stderr == pytest.approx(stdev(values) / math.sqrt(R), rel=1e-12)
            assert row.settings == {**single[0][metric, sampler].settings, "repeats": R}
            assert row.n == single[0][metric, sampler].n
    assert len({one["w2", "dormand_prince"].value for one in single}) == R
    for key, row in found.items():  # what is no sample's is as it is without repeats
        if key[0].endswith(FLOOR) or key[0] in ("path_energy", "straightness", "tortuosity", "npe"):
            assert row == single[0][key]
    np.testing.assert_array_equal(parts.arrays["samples"], measured(points, tmp_path)[1].arrays["samples"])


def test_the_first_repeat_is_the_draw_without_repeats(points: Dataset, tmp_path: Path) -> None:
    kept = Unfinished(tmp_path / "parts")
    measured(points, tmp_path, R, unfinished=kept)
    once, _ = measured(points, tmp_path)
    first = Parts(print, kept)._kept(kept, "samples dormand_prince")
    assert first is not None
    (w2,) = (row for row in first[0] if row.metric == "w2")
    assert w2.value == once["w2", "dormand_prince"].value


def test_a_killed_stage_goes_on_with_the_repeat_that_it_was_at(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = measured(points, tmp_path, R)
    kept, draw = Unfinished(tmp_path / "parts"), Trained.draw
    drawn: list[tuple[int, int]] = []

    def watched(self: Trained, way: object, start: int, stop: int) -> tuple[Tensor, float]:
        if len(drawn) == 5:
            raise KeyboardInterrupt
        drawn.append((self.seed, start))
        return draw(self, way, start, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(Trained, "draw", watched)
    with pytest.raises(KeyboardInterrupt):
        measured(points, tmp_path, R, unfinished=kept)
    drawn.clear()
    monkeypatch.setattr(Trained, "draw", lambda *given: drawn.append((given[0].seed, given[2])) or draw(*given))
    again, _ = measured(points, tmp_path, R, unfinished=kept)
    assert again == whole
    last = number(5, "repeat", 2)
    assert drawn[:2] == [(last, 0), (last, 20)] and len(drawn) == 2 + 2 * R


def test_no_sampler_has_the_stream_of_repeats() -> None:
    assert is_taken("repeat-1")
