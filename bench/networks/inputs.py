"""What a network takes beside t and x, in the same words for every network that takes more.

    second_time    r, a second time (B,), the keyword `r` (MeanFlow's net(t, x, r=r))
    classes = K    classes 0 to K - 1, int64 (B,), the keyword `labels`; -1 is no class, and so is None for all samples;
                   no class has weights of its own, which guidance needs
    given          the shape of what a sample is given: images (C', H, W) beside images join x as further channels, in
                   what the caller passes as x; anything else is the keyword `given`, a vector (B, K)
    time = False   no time: net(x) alone, what generators, encoders and critics are made of
    out = K        a vector (B, K) in place of the shape of x

A network that is built without one of them has no weight for it. What its options must fulfil is said in one form, by
the check that it is registered with, which takes what the builder takes and imports nothing heavy: a run that cannot be
is refused before anything starts.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UsageError

Shape = tuple[int, ...]


def require(network: str, holds: bool, key: str, value: object, allowed: str) -> None:
    """UsageError for an option, or the shape of the data, that does not fit."""
    if not holds:
        raise UsageError(f"network {network}: {key} = {value!r}: {allowed}")


def require_images(network: str, shape: Shape, levels: int) -> None:
    """UsageError unless the shape is (C, H, W), of sides that can be halved `levels - 1` times."""
    require(network, len(shape) == 3, "shape", shape, "images (C, H, W) are needed")
    smallest = 2 ** (levels - 1)
    halved = all(side % smallest == 0 for side in shape[1:])
    require(network, halved, "shape", shape, f"sides divisible by {smallest} are needed for {levels} levels")


class Inputs:
    """The inputs of a network on samples of a shape.

    UsageError if a number is below 1, or channels that join x have another size.

    Attributes:
        channels: C', channels that join x.
        vector: K, the length of the vector.
        numbers: the length of `joined`.
        embedded: whether there is anything beside t and x.
    """

    def __init__(
        self,
        network: str,
        shape: Shape,
        second_time: bool = False,
        classes: int | None = None,
        given: Shape | int = (),
        time: bool = True,
        out: int | None = None,
    ) -> None:
        self.network, self.shape, self.second_time, self.classes, self.time = network, shape, second_time, classes, time
        self.out = out
        of_one = (given,) if isinstance(given, int) else tuple(given)
        beside = len(of_one) == 3 == len(shape)
        ask = partial(require, network)
        ask(out is None or out > 0, "out", out, "a number above 0 is needed")
        ask(classes is None or classes > 0, "classes", classes, "1 or more are needed")
        ask(min(of_one, default=1) > 0, "given", given, "numbers above 0 are needed")
        ask(not beside or of_one[1:] == shape[1:], "given", given, f"channels beside x have the size of x, {shape[1:]}")
        self.channels = of_one[0] if beside else 0
        self.vector = prod(of_one) if of_one and not beside else 0
        self.numbers = time + second_time + (classes + 1 if classes else 0) + self.vector
        self.embedded = bool(second_time or classes or self.vector)

    def joined(
        self,
        t: tuple[Tensor, ...],
        x: Tensor,
        r: Tensor | None = None,
        labels: Tensor | None = None,
        given: Tensor | None = None,
    ) -> list[Tensor]:
        """t, r, the classes as one-hot vectors and the vector, each (B, ...), whose lengths add up to `numbers`."""
        self.check(r, labels, given)
        self._count(t)
        parts = [each[:, None] for each in (*t, r) if each is not None]
        if self.classes:
            parts.append(F.one_hot(self.rows(labels, x), self.classes + 1).to(x.dtype))
        return [*parts, *([] if given is None else [given.flatten(1)])]

    def time_of(self, t: Sequence[Tensor], x: Tensor) -> Tensor:
        """The time of a call, (B,); 0 for a network without one. UsageError for a call of the other kind."""
        self._count(t)
        return t[0] if t else x.new_zeros(len(x))

    def _count(self, t: Sequence[Tensor]) -> None:
        if len(t) != self.time:
            raise UsageError(f"network {self.network}: built with time = {self.time}, called with {len(t)} times")

    def rows(self, labels: Tensor | None, x: Tensor) -> Tensor:
        """Row of each sample's weights among K + 1, (B,): the last is that of no class."""
        assert self.classes
        if labels is None:
            return torch.full((len(x),), self.classes, device=x.device)
        return torch.where(labels < 0, self.classes, labels)

    def check(self, r: Tensor | None, labels: Tensor | None, given: Tensor | None) -> None:
        """UsageError unless a call has the inputs that the network was built with; labels may be left out."""
        if r is labels is given is None and not self.embedded:
            return  # the usual call, of small networks many a second
        of_r, of_vector = ("second_time", self.second_time, "r", r), ("given", self.vector, "given", given)
        for option, built, key, value in (of_r, ("classes", self.classes, "labels", labels), of_vector):
            if value is not None and not built:
                raise UsageError(f"network {self.network}: built without {option}, called with {key}")
            if value is None and built and option != "classes":
                raise UsageError(f"network {self.network}: built with {option}, called without {key}")


class Told(nn.Module):
    """Embeddings of r, by so many features, of the classes and the vector, (B, width) each, beside that of t."""

    def __init__(self, inputs: Inputs, features: int, width: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.classes = nn.Embedding(inputs.classes + 1, width) if inputs.classes else None
        self.second_time = _perceptron(features, width) if inputs.second_time else None
        self.vector = _perceptron(inputs.vector, width) if inputs.vector else None

    def added(
        self,
        x: Tensor,
        waves: Callable[[Tensor], Tensor],
        r: Tensor | None = None,
        labels: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor | None:
        """Their sum, None where there is nothing to add; `waves` gives the features (B, features) of a time."""
        self.inputs.check(r, labels, given)
        parts: list[Tensor] = []
        if self.second_time is not None and r is not None:
            parts.append(self.second_time(waves(r)))
        if self.classes is not None:
            parts.append(self.classes(self.inputs.rows(labels, x)))
        if self.vector is not None and given is not None:
            parts.append(self.vector(given.flatten(1)))
        return torch.stack(parts).sum(0) if parts else None


def _perceptron(fan_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(fan_in, width), nn.SiLU(), nn.Linear(width, width))
