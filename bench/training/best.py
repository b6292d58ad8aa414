"""The weights of least validation loss, which a run has in the end if `training.keep` is "best".

Every `validate_every` steps, and after the last one, the loss of the averaged weights w is

    L(w) = mean over the validation split of the method's own loss,

in pieces as large as those of the training, in the order of the split. The random numbers of a piece depend on (seed,
piece) alone, so all looks have the same noise, times and pairs, and what `ahead` finds is found once. Of a source that
has validation points x0 is one of these. The first weights of the least L are kept. A loss that changes with
`ctx.progress`, as that of reflow without a teacher, is not one measure: then the least L says little.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.datasets.source import Draws, of_split
from bench.errors import UsageError
from bench.methods.baseline import Baseline, losses
from bench.methods.batch import Batch, Context
from bench.methods.network import CountedNetwork
from bench.training import ranks
from bench.training.seeds import number


class Best:
    """The best weights so far.

    Attributes:
        step: at which they were, None before the first look that found a finite loss.
        loss: theirs, L.
        tensors: parameters, then buffers.
    """

    def __init__(self, baseline: Baseline, dataset: Dataset, settings: Training, seed: int, device: str) -> None:
        """UsageError for data without a validation split, and for a method whose step has several losses."""
        if dataset.validation is None:
            raise UsageError(f'training.keep = "best": dataset {dataset.name} has no validation split; allowed: "last"')
        if len(baseline.phases) > 1:
            raise UsageError(f'training.keep = "best": {baseline.name} has several losses a step; allowed: "last"')
        self.baseline, self.dataset, self.seed, self.device = baseline, dataset, seed, device
        self.size, self.held = settings.batch // settings.pieces, len(dataset.validation)
        self.source = of_split(dataset.source, "validation")
        self.found: dict[int, tuple[Any, Tensor]] = {}
        self.step: int | None = None
        self.loss = math.inf
        self.tensors: list[Tensor] = []

    @torch.no_grad()
    def look(self, module: nn.Module, step: int, progress: float, autocast: Callable[[], Any]) -> None:
        """Take over a frozen copy of the averaged weights if its loss is less than the least; all ranks must ask."""
        loss = self.validation_loss(module, step, progress, autocast)
        if loss < self.loss:
            self.loss, self.step = loss, step
            self.tensors = [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]

    def validation_loss(
        self, module: nn.Module, step: int, progress: float, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> float:
        """L of a frozen module, the same on any number of ranks."""
        net = CountedNetwork(module)
        sums = torch.zeros(math.ceil(self.held / self.size), dtype=torch.float64)
        with ranks.failing_together():
            for piece in ranks.mine(range(len(sums))):
                batch, told, rng = self._ready(piece)
                net.given, net.labels = batch.given, told
                context = Context(rng, step, progress, lambda: net)
                with autocast():
                    if self.baseline.looks_ahead:
                        context.found = self._found(piece, batch, rng)
                    loss = losses(self.baseline, self.baseline.phases[0], net, batch, context)
                sums[piece] = loss.double().sum().cpu()
        return float(ranks.total(sums).sum()) / self.held

    def _ready(self, piece: int) -> tuple[Batch, Tensor | None, Draws]:
        """A piece of the split, what the network is told of it, and its random numbers."""
        rows, data = slice(piece * self.size, (piece + 1) * self.size), self.dataset
        assert data.validation is not None
        labels = None if data.validation_labels is None else data.validation_labels[rows].to(self.device)
        rng = Draws(self.device)
        rng.source = self.source
        rng.manual_seed(number(self.seed, "validation-tell", piece))
        told = self.baseline.tell(labels, rng)
        rng.manual_seed(number(self.seed, "validation", piece))
        x = data.encode(data.validation[rows].to(self.device), rng)
        index = torch.arange(rows.start, rows.start + len(x), device=self.device)
        return Batch(x, labels, data.given_of("validation", rows, self.device), index), told, rng

    def _found(self, piece: int, batch: Batch, rng: Draws) -> tuple[Any, torch.Generator]:
        """What the method finds ahead of a piece, and the generator behind its draws."""
        if piece not in self.found:
            self.found[piece] = self.baseline.ahead(batch, rng), rng.get_state()
        found, state = self.found[piece]
        rng.set_state(state)
        return found, rng

    @torch.no_grad()
    def settle(self, parameters: Iterable[Tensor], buffers: Iterable[Tensor]) -> None:
        """Put the best weights in the place of others, which stay if no loss was finite."""
        for tensor, best in zip((*parameters, *buffers), self.tensors, strict=False):
            tensor.copy_(best)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"step": self.step, "loss": self.loss, "tensors": self.tensors}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step, self.loss = state["step"], state["loss"]
        self.tensors = [tensor.to(self.device, copy=True) for tensor in state["tensors"]]
