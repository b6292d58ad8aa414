"""An extractor that torch-fidelity knows measures what torch-fidelity measures with it, by its file alone."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from judging import compare, direct
from tiny import SUITE, runs
from torch import Tensor

from bench.config.registry import load_plugin
from bench.datasets.base import Dataset
from bench.identity import identity
from bench.metrics.extractors.reference import Reference
from bench.records.records import Measurement

PLUGIN = '''
"""Blocks of pixels as features, and a classifier with as many classes as corners; the file may scale the features."""

import torch
from torch_fidelity import FeatureExtractorBase, register_feature_extractor


class Corners(FeatureExtractorBase):
    def __init__(self, name, features_list, feature_extractor_weights_path=None, **_):
        super().__init__(name, features_list)
        path = feature_extractor_weights_path
        self.register_buffer("scale", torch.load(path, weights_only=True) if path else torch.ones(()))

    @staticmethod
    def get_provided_features_list():
        return ("blocks", "corners")

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "corners" if metric == "isc" else "blocks"

    def forward(self, images):
        blocks = torch.nn.functional.avg_pool2d(images.float(), 2).flatten(1) * self.scale
        corners = torch.stack([images[..., i, j].float().mean(1) for i in (0, -1) for j in (0, -1)], 1) / 16
        found = {"blocks": blocks, "corners": corners}
        return tuple(found[name] for name in self.features_list)


register_feature_extractor("corners", Corners)
'''


def images(n: int, seed: int, spread: float) -> Tensor:
    noise = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (128 + spread * noise).clamp(0, 255).to(torch.uint8)


SAMPLES = images(60, 0, 34.0)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset("noise", "1", images(50, 1, 40.0), images(40, 2, 40.0), levels=256, extractor="corners")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("plugins") / "corners.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return load_plugin(str(path))


def measured(dataset: Dataset, folder: Path, weights: Path | None = None) -> dict[str, Measurement]:
    reference = Reference(dataset, "corners", folder, weights=weights and str(weights))
    found = reference.collect(len(SAMPLES))
    for start in range(0, len(SAMPLES), 25):
        found.update(SAMPLES[start : start + 25], start)
    return {row.metric: row for row in compare(reference, found)}


@pytest.mark.parametrize("scale", [None, 3.0])
def test_every_metric_equals_torch_fidelity_called_directly(
    dataset: Dataset, plugin: ModuleType, scale: float | None, tmp_path: Path
) -> None:
    """With weights of a file as without; the Inception Score is of the layer that the extractor names for it."""
    weights = tmp_path / "scale.pt" if scale else None
    if weights:
        torch.save(torch.tensor(scale), weights)
    ours = measured(dataset, tmp_path, weights)
    options = {"kid": True, "kid_subset_size": 25, "prc": True, "isc": True}
    theirs = direct(SAMPLES, dataset.train, "corners", weights, **options)
    assert set(ours) == {"fd_corners", "kd_corners", "precision", "recall", "inception_score"}
    for number, name in (
        ("fd_corners", "frechet_inception_distance"),
        ("kd_corners", "kernel_inception_distance_mean"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("inception_score", "inception_score_mean"),
    ):
        assert ours[number].value == pytest.approx(theirs[name], rel=1e-6)
    assert ours["kd_corners"].stderr == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)
    assert ours["inception_score"].stderr == pytest.approx(theirs["inception_score_std"], rel=1e-6)
    assert 0 < ours["precision"].value < 1 and 0 < ours["recall"].value < 1 and ours["inception_score"].value > 1.1


def test_its_version_follows_its_file(dataset: Dataset, plugin: ModuleType, tmp_path: Path) -> None:
    versions = set()
    for name, scale in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        path = tmp_path / name
        path.mkdir()
        torch.save(torch.tensor(scale), path / "scale.pt")
        reference = Reference(dataset, "corners", tmp_path, weights=str(path / "scale.pt"))
        versions.add(reference.settings["extractor_version"])
    versions.add(Reference(dataset, "corners", tmp_path).settings["extractor_version"])
    assert len(versions) == 3


def test_its_code_is_that_of_the_runs_that_name_it(plugin: ModuleType, tmp_path: Path) -> None:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"')
    run, other = (
        runs(tmp_path, text, settings={"evaluation.samples.extractors": names} if names else {})[0]
        for names in (["corners"], None)
    )
    assert str(plugin.__file__) in identity.plugins(run) and not identity.plugins(other)
    for stage, reached in (("samples", True), ("likelihood", False), ("train", False)):
        code = identity.code(run, stage)
        assert code and reached is any(part.startswith("corners.py: Corners") for part in code.parts)
