"""Parquet files of a data set as the Hugging Face hub stores them: which belong to which split.

    train-00000-of-00002.parquet, ...     the split is what the name begins with, and no shard of one is missing
    train/0000.parquet, ...               the split is the folder
    anything.parquet                      all of it is train

They lie in the folder that is named, or in data/ there. A single file may be named too.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.datasets.imagefolder import folders
from bench.datasets.layout import SPLITS
from bench.errors import UsageError

SUFFIX = ".parquet"
EXPECTED = "train-*.parquet, test-*.parquet and validation-*.parquet, there or in data/; or *.parquet"
SPLIT = re.compile(rf"({'|'.join(SPLITS)})(?![a-z])", re.IGNORECASE)
SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)")


def shards(root: Path) -> dict[str, list[Path]]:
    """The files of each split, in the order of their names; UsageError if there are none, or some are missing."""
    if root.is_file():
        return {"train": [root]}
    places = [place for place in (root, root / "data") if _files(place)]
    if len(places) > 1:
        raise UsageError(f"{root}: {SUFFIX} files in it and in data/; keep one")
    if not places:
        inner = {
            path: SPLITS[name.lower()]
            for name in folders(root)
            if name.lower() in SPLITS
            for path in _files(root / name)
        }
        split_of: dict[Path, str | None] = {**inner}
    else:
        begins = {path: SPLIT.match(path.stem) for path in _files(places[0])}
        split_of = {path: found and SPLITS[found[1].lower()] for path, found in begins.items()}
    if not split_of:
        raise UsageError(f"{root}: no {SUFFIX} files; expected {EXPECTED}")
    if not any(split_of.values()):
        return {"train": _whole([*split_of])}
    if strays := [path for path, split in split_of.items() if not split]:
        raise UsageError(f"{strays[0]}: the name is of no split, and others are; expected {EXPECTED}")
    found = {split: [path for path, of in split_of.items() if of == split] for split in dict.fromkeys(SPLITS.values())}
    if not found["train"]:
        raise UsageError(f"{root}: no {SUFFIX} files of train; expected {EXPECTED}")
    return {split: _whole(paths) for split, paths in found.items() if paths}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and path.name[0] != ".")


def _whole(paths: Sequence[Path]) -> list[Path]:
    """These files; UsageError for a shard that is missing, or of another edition."""
    numbers: dict[tuple[str, int], set[int]] = {}
    for path in paths:
        if shard := SHARD.match(path.stem):
            numbers.setdefault((shard[1], int(shard[3])), set()).add(int(shard[2]))
    if len(numbers) > 1:
        (first, n), (second, m), *_ = numbers
        raise UsageError(f"{paths[0].parent}: {first} in {n} shards and {second} in {m} are two editions; keep one")
    for (name, n), seen in numbers.items():
        if missing := sorted(set(range(n)) - seen):
            raise UsageError(
                f"{paths[0].parent}: shard {missing[0]} of {n} of {name} is missing; {len(seen)} are there"
            )
    return [*paths]
