"""Which columns of a Parquet file are images and classes, as the Hugging Face hub stores them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.config.registry import unknown
from bench.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

NO_LABELS = 'label = "" reads none'


class Columns(NamedTuple):
    """The columns of images and, if there are classes, of labels; whether these are texts."""

    image: str
    label: str | None
    texts: bool = False

    @property
    def names(self) -> list[str]:
        return [self.image, *([self.label] if self.label else [])]


def columns_of(path: Path, schema: "pa.Schema", image: str, label: str | None) -> Columns:
    """The columns of a file; UsageError for one that is not there or of another type, or if several may be it."""
    import pyarrow as pa

    def is_binary(kind: "pa.DataType") -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def is_image(kind: "pa.DataType") -> bool:
        if not pa.types.is_struct(kind):
            return is_binary(kind)
        return kind.get_field_index("bytes") >= 0 and is_binary(kind.field("bytes").type)

    images = [field.name for field in schema if is_image(field.type)]
    for name in filter(None, (image, label)):
        if name not in schema.names:
            raise UsageError(f"{path}: " + unknown("column", name, schema.names))
    if not images or (image and image not in images):
        wanted = f"column {image!r} holds {schema.field(image).type}" if image else "no column of images"
        raise UsageError(f"{path}: {wanted}; images are binary, or a struct with bytes; has {', '.join(schema.names)}")
    if not image and len(images) > 1:
        raise UsageError(f"{path}: columns {' and '.join(images)} hold images; choose one, as image = {images[0]!r}")
    if label is None:
        declared = _declared(schema)
        label = "label" if "label" in schema.names else declared[0] if len(declared) == 1 else ""
    kind = schema.field(label).type if label else None
    texts = kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if kind is not None and not texts and not pa.types.is_integer(kind):
        raise UsageError(f"{path}: column {label!r} holds {kind}, not integers or texts; {NO_LABELS}")
    return Columns(image or images[0], label or None, texts)


def _declared(schema: "pa.Schema") -> list[str]:
    """The columns that the hub's metadata declares as classes."""
    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {})
    return [name for name, kind in features.items() if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"]
