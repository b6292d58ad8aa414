"""How a folder of images is arranged: which folders are splits, and which are classes.

    photos/*.png                       no labels
    photos/CLASS/*.png                 labels: the class's place in alphabetical order
    photos/{train,test}/*.png          splits as they lie; validation, val or valid is a third one
    photos/{train,test}/CLASS/*.png    both

A folder is a split if it has the name of one in any case. Names with a dot first are not looked at.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.datasets.decoding import SUFFIXES
from bench.datasets.imagefolder import folders, image_parts, left_out
from bench.datasets.own import Own
from bench.datasets.parts import Originals, Part
from bench.errors import UsageError

SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(("validation", "val", "valid"), "validation")
LAYOUTS = "*.png, CLASS/*.png, or either of them in train/, test/ and validation/"


class Group(NamedTuple):
    """A folder of images, in a split, with a class where there are classes."""

    split: str
    path: str  # from the root
    kind: str | None


def arranged(own: Own, root: Path) -> Originals | None:
    """The images in `root`, made as `own` has it, in the arrangement that they lie in; None if there is no such folder.

    UsageError if there are no images, if images lie beside folders, a folder deeper or in some arrangement else, if a
    class has no images, or none in train.
    """
    if not root.is_dir():
        return None
    groups = list(_groups(root))
    classes = sorted({group.kind for group in groups if group.split == "train" and group.kind is not None})
    splits = sorted({group.split for group in groups}, key=list(dict.fromkeys(SPLITS.values())).index)
    for group in groups:
        _flat(root / group.path)
        if (group.kind is None) != (not classes):
            other = next(other for other in groups if (other.kind is None) != (group.kind is None))
            raise UsageError(f"{root}: {group.path}/ and {other.path}/: classes in every split, or in none")
        if group.kind is not None and group.kind not in classes:
            raise UsageError(f"{root / group.path}: train has no class {group.kind!r}")
    parts: dict[str, list[Part]] = {split: [] for split in splits}
    for split, path, kind in groups:
        label = None if kind is None else classes.index(kind)
        named = str(Path(root.name, path))
        parts[split] += image_parts(root.parent, named, own.size, own.crop == "centre", label, own.channels)
    listed = {root, *(root / group.path for group in groups), *((root / group.path).parent for group in groups)}
    return Originals(own.version, bool(classes), parts, partial(left_out, sorted(listed - {root.parent})), own.seed)


def _groups(root: Path) -> Iterator[Group]:
    """The folders of images in a root, a split's together."""
    names = _one_kind(root)
    split_of = {name: SPLITS.get(name.lower()) for name in names}
    known = {name: split for name, split in split_of.items() if split}
    if not known:
        yield from (Group("train", name, name) for name in names)
        if not names:
            yield Group("train", ".", None)
        return
    if others := [name for name in names if name not in known]:
        raise UsageError(f"{root}: {others[0]} is no split, and {next(iter(known))} is one; expected {LAYOUTS}")
    for split in known.values():
        if len(twice := [name for name in known if known[name] == split]) > 1:
            raise UsageError(f"{root}: {' and '.join(twice)} are one split twice; keep one")
    if "train" not in known.values():
        raise UsageError(f"{root}: {next(iter(known))} is a split, and there is no train; expected {LAYOUTS}")
    for name, split in known.items():
        classes = _one_kind(root / name)
        yield from (Group(split, f"{name}/{kind}", kind) for kind in classes)
        if not classes:
            yield Group(split, name, None)


def _one_kind(folder: Path) -> list[str]:
    """The names of the folders in one that has folders or images; UsageError if it has both, or nothing."""
    inner, image = folders(folder), _first_image(folder)
    if inner and image:
        raise UsageError(f"{folder}: the image {image} lies beside the folder {inner[0]}; expected {LAYOUTS}")
    if not inner and not image:
        raise UsageError(f"{folder}: no images in it; expected {LAYOUTS} (also {', '.join(SUFFIXES)})")
    return inner


def _first_image(folder: Path) -> str:
    """The first name of an image in a folder, "" if there is none."""
    with os.scandir(folder) as entries:
        return min((entry.name for entry in entries if _is_image(entry.name) and not entry.is_dir()), default="")


def _is_image(name: str) -> bool:
    return name[0] != "." and name.lower().endswith(SUFFIXES)


def _flat(folder: Path) -> None:
    """UsageError if an image lies in a folder below."""
    for inner in folders(folder):
        for where, _, files in os.walk(folder / inner):
            for name in sorted(filter(_is_image, files)):
                raise UsageError(f"{Path(where) / name}: an image a folder too deep; expected {LAYOUTS}")
