"""Test images that come as samples made elsewhere score what they score as data, whatever file holds them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judging import register_extractor
from PIL import Image

from bench.config.components import build_dataset
from bench.config.settings import Component, Samples
from bench.datasets.elsewhere import opened
from bench.evaluation.elsewhere import score
from bench.evaluation.floors import floors
from bench.evaluation.quality import Judge

pytestmark = pytest.mark.slow

DIGITS = Component(name="digits")


def as_png(path: Path, images: Any) -> Path:
    path.mkdir()
    for i, pixels in enumerate(images[:, 0]):
        Image.fromarray(pixels).save(path / f"{i:05}.png")
    return path


def as_npz(path: Path, images: Any) -> Path:
    np.savez(path.with_suffix(".npz"), images.transpose(0, 2, 3, 1))
    return path.with_suffix(".npz")


def test_test_images_score_the_floor(tmp_path: Path) -> None:
    """By an extractor that costs nothing: the means of rows and of columns."""
    means = register_extractor(
        "means", "means", lambda x: torch.cat([x.float().mean(axis)[:, 0] for axis in (2, 3)], 1)
    )
    digits, data_dir = replace(build_dataset(DIGITS, tmp_path), extractor=means), tmp_path / "data"
    config = Samples(n=len(digits.test))
    images, seen = digits.pixels(digits.test).numpy(), list[int]()
    found = []
    for save in (as_png, as_npz):
        made = opened(save(tmp_path / "x", images), digits)
        rows, arrays = score(made, digits, config, {"count": made.count}, data_dir, "cpu", seen.append)
        found.append({row.metric: row.value for row in rows if row.reason is None})
        assert np.array_equal(arrays["samples"], images[:64].transpose(0, 2, 3, 1)) and seen.pop() == len(images)
    assert found[0] == found[1]
    floor = {row.metric: row.value for row in floors(Judge(digits, config, data_dir, "cpu", 0), config.n)}
    assert {"fd_means", "kd_means", "precision", "recall"} < found[0].keys()
    for metric in ("fd_means", "precision", "recall"):
        assert found[0][metric] == pytest.approx(floor[f"{metric}_floor"], rel=1e-9)
    # A kernel distance is of subsets drawn by a seed, which a floor has of its own.
    judge = Judge(digits, config, data_dir, "cpu", 0)
    quality = judge.quality(config.n)
    (kid, collected, blank), *_ = [of for of in quality.of if of[0].name == "kid"]
    real = collected.fresh("test", config.n, 0, 1)
    (same,) = judge.measured(kid, real, blank)
    assert found[0]["kd_means"] == pytest.approx(same.value, rel=1e-9)
