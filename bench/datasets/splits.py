"""How data is split: builders of datasets are registered with the options of their splits beside their own."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset
from bench.errors import UsageError

Make = TypeVar("Make", bound=Callable[..., Any])


def split_by(name: str, split: Callable[..., Dataset]) -> Callable[[Make], Make]:
    """Decorator that files split(make(data_dir, **its options), **its keywords) under `name`, as `fixed` data.

    An option that both have goes to both.
    """
    kinds = inspect.Parameter
    shared = {key: p for key, p in inspect.signature(split).parameters.items() if p.kind is kinds.KEYWORD_ONLY}

    def file(make: Make) -> Make:
        own = inspect.signature(make).parameters
        options = [p.replace(kind=kinds.POSITIONAL_OR_KEYWORD) for p in {**own, **shared}.values()]
        signature = inspect.Signature(options)

        def build(*args: Any, **options: Any) -> Dataset:
            values = signature.bind(*args, **options).arguments
            made = make(**{key: value for key, value in values.items() if key in own})
            return split(made, **{key: value for key, value in values.items() if key in shared}).fix()

        build.__signature__ = signature  # type: ignore[attr-defined]
        build.__annotations__ = {p.name: p.annotation for p in options}
        build.__doc__, build.__module__, build.__qualname__ = make.__doc__, make.__module__, make.__qualname__
        register_dataset(name)(build)
        return make

    return file


def with_validation(dataset: Dataset, *, validation: int = 0) -> Dataset:
    """The last rows of train as a validation split, which the version says; the dataset itself for none.

    Published splits are train and test alone. UsageError if there are not so many rows, or none would be left.
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
