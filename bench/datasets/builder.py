"""Registering a builder of datasets whose options are its own and those that all of its kind share."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset

Make = TypeVar("Make", bound=Callable[..., Any])


def finished(name: str, finish: Callable[..., Dataset]) -> Callable[[Make], Make]:
    """Decorator that files finish(make(data_dir, **its options), **its keywords) under `name`, as `fixed` data.

    An option that both have goes to both.
    """
    kinds = inspect.Parameter
    shared = {key: p for key, p in inspect.signature(finish).parameters.items() if p.kind is kinds.KEYWORD_ONLY}

    def file(make: Make) -> Make:
        own = inspect.signature(make).parameters
        options = [p.replace(kind=kinds.POSITIONAL_OR_KEYWORD) for p in {**own, **shared}.values()]
        signature = inspect.Signature(options)

        def build(*args: Any, **options: Any) -> Dataset:
            told = signature.bind(*args, **options).arguments
            made = make(**{key: value for key, value in told.items() if key in own})
            return finish(made, **{key: value for key, value in told.items() if key in shared}).fix()

        build.__signature__ = signature  # type: ignore[attr-defined]
        build.__annotations__ = {p.name: p.annotation for p in options}
        build.__doc__, build.__module__, build.__qualname__ = make.__doc__, make.__module__, make.__qualname__
        register_dataset(name)(build)
        return make

    return file
