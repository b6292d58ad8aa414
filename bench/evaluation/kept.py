"""Numbers of the data alone, whatever the run, are measured once and kept in data_dir/floors."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config.names import safe_name
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.identity import inputs
from bench.metrics.extractors import cache
from bench.records.seal import read_arrays


def kept(
    data_dir: Path,
    data: Dataset,
    what: str,
    code: str | None,
    facts: Sequence[Any],
    make: Callable[[], NDArray[Any]],
    of_law: bool = False,
) -> NDArray[np.float64]:
    """What `make` gives, or gave another run by the same `facts`; it is not kept if it fails, nor if `code` is None.

    `code` is the digest of what measures it; None says that it is not known. What is `of_law` needs no points of the
    data, and so it is one number where each run draws points of its own.
    """
    if code is None:
        return make()
    points = "" if of_law and data.by_run else data.checksum
    text = json.dumps([data.name, data.version, points, what, code, *facts], sort_keys=True)
    name = safe_name(f"{data.name}-{what}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz")
    return once(data_dir / "floors", name, make)


def once(folder: Path, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[np.float64]:
    """What `make` gives, or gave before under that name of a file, which must say all that it hangs on."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, values=make())

    with inputs.unnoted():  # the name vouches for it
        try:
            found: NDArray[np.float64] = read_arrays(cache.kept(folder, name, write))["values"]
            return found
        except UsageError:  # no folder can be written to, or the metric says so again
            return make()
