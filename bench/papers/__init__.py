"""Published work to compare with, one folder of data a paper (see bench/papers/paper.py)."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path


def find() -> Mapping[str, Callable[[], object]]:
    """What files each paper of this package in the registry."""
    from bench.papers.paper import FILE, register_paper

    folders = sorted(path.parent for path in Path(__file__).parent.glob(f"*/{FILE}"))
    return {folder.name: partial(register_paper, folder) for folder in folders}
