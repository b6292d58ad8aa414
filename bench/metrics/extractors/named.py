"""The extractors that a run is measured with: those that its suite names, or its dataset's own."""

from pathlib import Path

from bench.config.settings import NamedExtractor, Samples
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.metrics.extractors import catalogue


def extractors(samples: Samples, dataset: Dataset) -> tuple[NamedExtractor, ...]:
    """Of images; UsageError if neither suite nor dataset names one, and for one of points."""
    named = samples.extractors or ((NamedExtractor(name=dataset.extractor),) if dataset.extractor else ())
    if not named:
        raise UsageError(f"dataset {dataset.name!r} has no extractor; evaluation.samples.extractors names one")
    if not dataset.is_image:
        message = f"{named[0].name!r} is for images, and {dataset.name} holds points"
        raise UsageError(f"evaluation.samples.extractors: {message}")
    return named


def make_sure(samples: Samples, dataset: Dataset, data_dir: Path) -> None:
    """Have a run's extractors ready and whole, but for a classifier's training; UsageError if they cannot be."""
    for by in extractors(samples, dataset):
        catalogue.check(by.name, dataset, by.weights)
        if not by.name.endswith("_cnn"):
            found = catalogue.extractor_for(by.name, dataset, data_dir, by.weights)
            _ = catalogue.Loaded(found, dataset.stored_shape, "cpu").net
