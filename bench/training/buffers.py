"""What a network's forward passes change beside its trained parameters, the same for any number of ranks.

Buffers (the statistics of batch norm, the vectors of spectral norm, counters) and parameters that take no gradient may
change in every forward pass. Each piece of a batch starts from what stood before the step, as if the pieces were
evaluated side by side, which is what ranks do. Then, with s the state before and s_p that after piece p of P,

    floating-point numbers: s + (1/P) sum_p (s_p - s), summed in float64;    integers and flags: max_p s_p.

So a counter of batches counts steps, and one piece leaves what it made.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.training import ranks


class Buffers:
    """The buffers and frozen parameters of a module that is trained with batches of so many pieces, on all ranks."""

    def __init__(self, module: nn.Module, pieces: int) -> None:
        self.module, self.pieces = module, pieces
        self.before: dict[str, Tensor] = {}
        self.found: dict[str, Tensor] = {}  # sums of changes in float64, or maxima

    def begin(self) -> None:
        """A step begins; nothing is to be done where its batch is one piece."""
        if self.pieces > 1:
            self.before = {name: tensor.detach().clone() for name, tensor in self._tensors()}
            self.found = {}

    def take(self) -> None:
        """Note what a piece has changed, and take it back."""
        if self.before:
            self._take()

    @torch.no_grad()
    def _take(self) -> None:
        for name, value, before in self._changed():
            if _summed(before):
                change = value.to(_wide(before)) - before.to(_wide(before))
                self.found[name] = self.found[name] + change if name in self.found else change
            else:
                self.found[name] = torch.maximum(self.found[name], value) if name in self.found else value.clone()
            value.copy_(before)

    def merge(self) -> None:
        """Put the result of all pieces of all ranks in place; all ranks must ask."""
        if self.before:
            self._merge(list(self.before))

    @torch.no_grad()
    def _merge(self, names: list[str]) -> None:
        changed = ranks.agreed(*(float(name in self.found) for name in names))
        now = dict(self._tensors())
        for name in (name for name, any_rank in zip(names, changed, strict=True) if any_rank):
            before = self.before[name]
            if _summed(before):
                change = self.found.get(name, torch.zeros_like(before, dtype=_wide(before)))
                now[name].copy_(before.to(change) + ranks.total(change) / self.pieces)
            else:
                value = self.found.get(name, before)
                agreed = ranks.agreed(*value.flatten().tolist()) if ranks.count() > 1 else value.flatten().tolist()
                now[name].copy_(torch.tensor(agreed, dtype=torch.float64).to(before).view_as(before))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever is done within leaves all of them as they were."""
        before = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        yield
        self.restore(before)

    def unsaved(self) -> dict[str, Tensor]:
        """The buffers that a state_dict leaves out (persistent=False), which may change all the same."""
        saved = self.module.state_dict().keys()
        return {name: tensor for name, tensor in self.module.named_buffers() if name not in saved}

    @torch.no_grad()
    def restore(self, stored: dict[str, Tensor]) -> None:
        """Put tensors back by their names, such as `unsaved` gave."""
        now = dict(self._tensors())
        for name, tensor in stored.items():
            now[name].copy_(tensor)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.module.named_buffers()
        yield from ((name, p) for name, p in self.module.named_parameters() if not p.requires_grad)

    def _changed(self) -> list[tuple[str, Tensor, Tensor]]:
        """Name, value and value before of what has changed, at the cost of waiting for the device once."""
        pairs = [(name, tensor, self.before[name]) for name, tensor in self._tensors() if name in self.before]
        if not pairs:
            return []
        differ = torch.stack([(value != before).any() for _, value, before in pairs]).tolist()
        return [pair for pair, other in zip(pairs, differ, strict=True) if other]


def _summed(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.complex128 if tensor.is_complex() else torch.float64
