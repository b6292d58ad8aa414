"""The law of x0 where a dataset names one, in place of N(0, I).

    class Ring:
        def draw(self, rng): ...        # x0 of one sample, of the shape of model space, on the generator's device
        def log_prob(self, x0): ...     # (B, ...) -> (B,) in nats, if it has a density: likelihoods need it
        def draws(self, n, rng): ...    # n of them at once, (n, ...), if training shall not wait for n calls of `draw`
        def points(self, split): ...    # x0 of the samples measured on "test" or "validation", (n, ...), in their order

`rng` is the only source of randomness. `log_prob`, `draws` and `points` may be left out; samples that are measured
start from draws then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bench.methods.rules import shown


@runtime_checkable
class Source(Protocol):
    """What every source can do."""

    def draw(self, rng: torch.Generator) -> Tensor:
        """x0 of one sample, float32."""


@dataclass(frozen=True, eq=False)
class SourcePoints:
    """A source of finitely many points of each split, (n, ...), drawn from a law that may have a log-density.

    Training draws rows of `train` with replacement; sample i of a split starts from its row i.
    """

    splits: Mapping[str, Tensor]
    log_prob: Callable[[Tensor], Tensor] | None = None

    def draw(self, rng: torch.Generator) -> Tensor:
        return self.draws(1, rng)[0]

    def draws(self, n: int, rng: torch.Generator) -> Tensor:
        train = self.splits["train"].to(rng.device)
        return train[torch.randint(len(train), (n,), generator=rng, device=rng.device)]

    def points(self, split: str) -> Tensor | None:
        return self.splits.get(split)


class Draws(torch.Generator):
    """A generator that says which source noise is drawn from; None is N(0, I)."""

    source: Source | None = None


def drawn(source: Source, n: int, rng: torch.Generator) -> Tensor:
    """n draws, (n, ...)."""
    many: Any = getattr(source, "draws", None)
    found: Tensor = many(n, rng) if many else torch.stack([source.draw(rng) for _ in range(n)])
    return found


def starts(source: Source | None, split: str) -> Tensor | None:
    """x0 of the samples that are measured on a split; None if they are drawn."""
    points: Any = getattr(source, "points", None)
    found: Tensor | None = points(split) if points else None
    return found


def of_split(source: Source | None, split: str) -> Source | None:
    """The source whose draws are rows of the points that it has of a split; the source itself if it has none."""
    points = starts(source, split)
    return source if points is None else SourcePoints({"train": points}, getattr(source, "log_prob", None))


def check_source(source: Any, shape: tuple[int, ...]) -> str:
    """The rule that a source on samples of that shape breaks, "" if it keeps all.

    Raises:
        Exception: whatever its methods raise.
    """
    if not isinstance(source, Source):
        return f"source is a {type(source).__name__} without draw(generator)"
    first, again = (source.draw(torch.Generator().manual_seed(0)) for _ in range(2))
    if not _fits(first, shape):
        return f"source.draw gives {shown(first)}, not float32 {shape}, one sample in model space"
    if not torch.equal(first, again):
        return "source.draw gives two answers from one state of its generator"
    batch = drawn(source, 3, torch.Generator().manual_seed(0))
    if not _fits(batch, (3, *shape)):
        return f"source.draws of 3 samples is {shown(batch)}, not float32 {(3, *shape)}"
    held = starts(source, "test")
    if held is not None and not _fits(held, (len(held), *shape)):
        return f"source.points of test is {shown(held)}, not float32 (n, {', '.join(map(str, shape))})"
    log_prob: Any = getattr(source, "log_prob", None)
    found = log_prob(batch) if log_prob else torch.zeros(3)
    if not _fits(found, (3,)) or not torch.isfinite(found).all():
        return f"source.log_prob of 3 draws is {shown(found)}, not 3 finite float32 numbers"
    return ""


def _fits(values: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(values, Tensor) and values.dtype == torch.float32 and tuple(values.shape) == shape
