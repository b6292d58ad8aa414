"""Random numbers of runs that are trained together: each has its own, drawn from its own generator.

A loss asks once for numbers of all S B rows. Of a shape with S B in one place each run draws its B rows, in the order
and by the call in which it would draw alone, and the draws are joined there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.datasets.source import Draws
from bench.errors import Unstackable
from bench.training.minibatches import Minibatches, Piece

SHAPED = ("rand", "randn", "randint")  # functions of torch that draw in a shape that the call names
BEFORE = ("low", "high")  # numbers that randint has before the shape


class JoinedDraws(Draws):
    """The generators of runs, in the place of the one that a loss is given; it is never drawn from itself."""

    def __new__(cls, generators: Sequence[Draws], rows: int) -> "JoinedDraws":
        return super().__new__(cls, generators[0].device)  # type: ignore[call-arg]

    def __init__(self, generators: Sequence[Draws], rows: int) -> None:
        super().__init__()
        self.generators, self.rows, self.source = generators, rows, generators[0].source  # S B rows

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Within, draws from this one are those of the generators.

        Unstackable if something is drawn of which the rows of one run cannot be told.
        """
        # A TorchFunctionMode sees every call of torch, at a fifth of the time of a small network's step.
        own = {name: getattr(torch, name) for name in SHAPED}
        for name, draw in own.items():
            setattr(torch, name, partial(self._drawn, draw))
        try:
            yield
        finally:
            for name, draw in own.items():
                setattr(torch, name, draw)

    def _drawn(self, draw: Callable[..., Tensor], *args: Any, generator: Any = None, **more: Any) -> Tensor:
        if generator is not self:
            return draw(*args, generator=generator, **more)
        numbers = [value for value in args if isinstance(value, int)] + [more.pop(n) for n in BEFORE if n in more]
        shape = [size for value in (*args, more.pop("size", ())) if isinstance(value, (tuple, list)) for size in value]
        if not shape:  # torch.rand(3, 4)
            numbers, shape = [], numbers
        axes = [i for i, size in enumerate(shape) if size == self.rows]
        if len(axes) != 1 or self.rows in numbers:
            raise Unstackable(
                f"it draws numbers of shape {tuple(shape)} for {self.rows} rows of {len(self.generators)} runs"
            )
        shape[axes[0]] //= len(self.generators)
        return torch.cat([draw(*numbers, shape, generator=own, **more) for own in self.generators], axes[0])


class JoinedMinibatches(Minibatches):
    """The minibatches of runs on the same data, one run after the other."""

    def __init__(self, runs: Sequence[Minibatches]) -> None:
        vars(self).update(vars(runs[0]))
        self.runs = runs

    def index(self, piece: Piece, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        indices, mirrored = zip(*(run.index(piece, rng) for run in self.runs), strict=True)
        return torch.cat(indices), None if mirrored[0] is None else torch.cat(mirrored)
