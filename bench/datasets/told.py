"""What a file of weights tells of the data, so that the model draws without it: shapes, levels, classes, and its space.

A space or a source that is a dataclass of numbers in this package is told by its name and its fields; any other is code
of its dataset, which is then needed itself.
"""

import importlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass, replace
from typing import Any

import torch

from bench.datasets.base import Dataset

HERE = "bench.datasets."
LAWS = ("space", "source")


def tell(dataset: Dataset) -> dict[str, Any]:
    """The facts of a dataset, as JSON has them; `needed` names what only the dataset itself has."""
    given = dataset.given_of("test", slice(1))
    laws = {name: law for name in LAWS if (law := getattr(dataset, name)) is not None}
    told = {name: _told(law) for name, law in laws.items()}
    needed = [name for name, of in told.items() if of is None]
    return {
        "name": dataset.name,
        "version": dataset.version,
        "shape": list(dataset.shape if "space" in needed else dataset.stored_shape),
        "levels": None if "space" in needed else dataset.levels,
        "classes": dataset.classes,
        "given": None if given is None else list(given.shape[1:]),
        "extent": dataset.extent,
        "laws": {name: of for name, of in told.items() if of is not None},
        "needed": needed,
    }


def stand_in(told: Mapping[str, Any]) -> Dataset:
    """A dataset of one blank sample that has these facts, all but what is needed."""
    blank = torch.zeros(1, *told["shape"], dtype=torch.uint8 if told["levels"] else torch.float32)
    labels = torch.tensor([told["classes"] - 1]) if told["classes"] else None
    given = None if told["given"] is None else torch.zeros(1, *told["given"])
    found = Dataset(told["name"], told["version"], blank, blank, told["levels"], extent=told["extent"])
    laws = {name: _made(of) for name, of in told["laws"].items()}
    return replace(found, train_labels=labels, test_labels=labels, train_given=given, test_given=given, **laws)


def _told(law: Any) -> dict[str, Any] | None:
    """The class and the fields of a dataclass of this package, None if it is none or JSON does not hold it."""
    if is_dataclass(law) and type(law).__module__.startswith(HERE):
        fields = asdict(law)  # type: ignore[arg-type]
        with suppress(TypeError, ValueError):
            text = json.dumps(fields, allow_nan=False)
            return {"module": type(law).__module__, "class": type(law).__name__, "fields": json.loads(text)}
    return None


def _made(of: Mapping[str, Any]) -> Any:
    """The dataclass again; ValueError for a name that is none of this package's."""
    kind = getattr(importlib.import_module(of["module"]), of["class"]) if of["module"].startswith(HERE) else None
    if not (isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == of["module"]):
        raise ValueError(f"{of['module']}.{of['class']} is no dataclass of {HERE}")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in of["fields"].items()})
