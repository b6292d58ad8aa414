"""A validation split of real data, whose published splits are train and test."""

from dataclasses import replace

from bench.datasets.base import Dataset
from bench.errors import UsageError


def with_validation(dataset: Dataset, *, validation: int = 0) -> Dataset:
    """The last rows of train as a validation split, which the version says; the dataset itself for none.

    UsageError if there are not so many rows, or none would be left.
    """
    n = validation
    kept = len(dataset.train) - n
    if n < 0 or kept < 1:
        raise UsageError(f"dataset {dataset.name}: validation = {n}: 0 to {len(dataset.train) - 1} training samples")
    if n == 0:
        return dataset
    labels = dataset.train_labels
    return replace(
        dataset,
        version=f"{dataset.version}-validation{n}",
        train=dataset.train[:kept],
        validation=dataset.train[kept:],
        train_labels=None if labels is None else labels[:kept],
        validation_labels=None if labels is None else labels[kept:],
    )
