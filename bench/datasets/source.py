"""The law of x0 where a dataset names one, in place of N(0, I).

    class Ring:
        def draw(self, rng): ...        # x0 of one sample, of the shape of model space, on the generator's device
        def log_prob(self, x0): ...     # (B, ...) -> (B,) in nats, if it has a density: likelihoods need it
        def draws(self, n, rng): ...    # n of them at once, (n, ...), if training shall not wait for n calls of `draw`

`rng` is the only source of randomness. `log_prob` and `draws` may be left out.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bench.methods.rules import shown


@runtime_checkable
class Source(Protocol):
    """What every source can do."""

    def draw(self, rng: torch.Generator) -> Tensor:
        """x0 of one sample, float32."""


class Draws(torch.Generator):
    """A generator that says which source noise is drawn from; None is N(0, I)."""

    source: Source | None = None


def drawn(source: Source, n: int, rng: torch.Generator) -> Tensor:
    """n draws, (n, ...)."""
    many: Any = getattr(source, "draws", None)
    found: Tensor = many(n, rng) if many else torch.stack([source.draw(rng) for _ in range(n)])
    return found


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
    log_prob: Any = getattr(source, "log_prob", None)
    found = log_prob(batch) if log_prob else torch.zeros(3)
    if not _fits(found, (3,)) or not torch.isfinite(found).all():
        return f"source.log_prob of 3 draws is {shown(found)}, not 3 finite float32 numbers"
    return ""


def _fits(values: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(values, Tensor) and values.dtype == torch.float32 and tuple(values.shape) == shape
