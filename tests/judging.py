"""Measurements of features that a test made itself, and extractors that cost nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bench.config.settings import Samples
from bench.evaluation.collected import OfFeatures
from bench.evaluation.floors import floors
from bench.evaluation.quality import Judge
from bench.metrics.extractors.features import Features
from bench.metrics.extractors.reference import Reference
from bench.records.records import Measurement


def judge_of(reference: Reference) -> Judge:
    """The judge whose images are compared with a reference that is there."""
    own = replace(reference.dataset, extractor=reference.extractor.name)
    config = Samples(reference=reference.split)
    judge = Judge(own, config, reference.folder.parent, reference.device, 0)
    judge.references = [reference]
    return judge


def compare(reference: Reference, features: Features, full: bool = True) -> list[Measurement]:
    """The usual measurements of features; without `full` those of a validation curve."""
    judge, collected = judge_of(reference), OfFeatures(features, reference)
    metrics = [m for m in judge.metrics if m.needs == "features" and (full or m.in_curve)]
    return [row for metric in metrics for row in judge.measured(metric, collected, judge.rows(metric, collected))]


def floor(reference: Reference, n: int) -> list[Measurement]:
    """What n held-out images score."""
    return floors(judge_of(reference), n)


def register_extractor(name: str, features: str, of: Callable[[Tensor], Tensor]) -> str:
    """Have torch-fidelity know an extractor of one kind of features, `of` uint8 images; its name."""
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor

    class Plain(FeatureExtractorBase):  # type: ignore[misc]
        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return (features,)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return features

        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (of(images),)

    register_feature_extractor(name, Plain)
    return name


class Images(TorchDataset[Tensor]):
    """Images as torch-fidelity reads them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def direct(
    samples: Tensor, reference: Tensor, extractor: str, weights: Path | None = None, **options: Any
) -> dict[str, float]:
    """What torch-fidelity itself measures of uint8 images."""
    import torch_fidelity

    found: dict[str, float] = torch_fidelity.calculate_metrics(
        input1=Images(samples),
        input2=Images(reference),
        feature_extractor=extractor,
        feature_extractor_weights_path=weights and str(weights),
        **{"fid": True, "cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False, **options},
    )
    return found


def exact_distance(x: Tensor, y: Tensor) -> float:
    """The Frechet distance by the rows of both sides, without a covariance."""
    x, y = x.double(), y.double()
    a, b = ((rows - rows.mean(0)) / (len(rows) - 1) ** 0.5 for rows in (x, y))
    squares = sum(part.square().sum() for part in (x.mean(0) - y.mean(0), a, b))
    return float(squares - 2 * torch.linalg.svdvals(a @ b.T).sum())
