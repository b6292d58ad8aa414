"""The exact divergence in reverse passes of ROWS rows (bench/methods/density.py) against the two extremes.

Of few points one pass a dimension is mostly overhead; of many, all dimensions in one pass fall out of the cache.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from compare import Row, calls, compare
from torch import Tensor

from bench.config.registry import networks
from bench.methods import density

LENGTH = 0.2  # seconds that one side takes in a round


def row(rounds: int, dim: int, points: int, rows_of_reference: int, reference: str) -> Row:
    module = networks["mlp"]((dim,), width=128, depth=4).requires_grad_(False)
    x, t = torch.randn(points, dim), torch.tensor(0.5)

    def side(rows: int, repeats: int = 1) -> Callable[[], Tensor]:
        def work() -> Tensor:
            before, density.ROWS = density.ROWS, rows
            try:
                for _ in range(repeats):
                    trace = density.traces(lambda s, y: module(s.expand(len(y)), y), t, x)[1]
            finally:
                density.ROWS = before
            return trace

        return work

    repeats = calls(side(density.ROWS), LENGTH)
    ours, other = side(density.ROWS, repeats), side(rows_of_reference, repeats)
    apart = float((ours() - other()).abs().max())
    name = f"divergence, d = {dim}, {points} points, against {reference}"
    return compare(name, ours, other, rounds, "1/s", repeats, "", f"apart by {apart:.0e} at most")


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    for dim in (2, 4, 8, 16, 64):
        yield row(rounds, dim, 100, 1, "one a pass")
        yield row(rounds, dim, 1000, 1000 * dim, "one pass")
