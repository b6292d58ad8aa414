"""The dry pass through the losses of a method: every phase once, on a copy of the module and a few samples."""

import inspect

import torch
from torch import Tensor, nn

from bench.config.suite import Run
from bench.datasets.source import Draws
from bench.methods.baseline import losses
from bench.methods.batch import Batch, Context
from bench.methods.network import CountedNetwork
from bench.methods.rules import require, rule, shown
from bench.training.modules import copied
from bench.training.seeds import number
from bench.training.trainer import Trainer
from bench.training.update import Update


class Trial:
    """Of a run in training: a few samples, and the names of its parts in messages.

    Attributes:
        n: samples; not as many as one has entries along an axis, so that no shape is right by accident.
        method, both: the baseline, and the baseline with its network.
    """

    def __init__(self, trainer: Trainer, run: Run) -> None:
        self.trainer, self.run = trainer, run
        self.baseline, self.dataset, self.device = trainer.baseline, trainer.dataset, trainer.device
        n = next(n for n in (2, 3, 5, 7) if n not in self.dataset.shape)
        self.n = min(n, len(self.dataset.train), len(self.dataset.test))
        self.method = f"baseline {run.baseline.name}"
        self.both = f"{self.method} with network {run.network.name}"
        self.rng = Draws(self.device)
        self.rng.source = self.dataset.source
        self.rng.manual_seed(number(trainer.seed, "rehearsal"))

    def phases(self, averaged: nn.Module) -> None:
        """Each phase trains what it names, and together they train all that is not frozen.

        Args:
            averaged: a copy with the averaged weights.

        Raises:
            UsageError: a rule does not hold.
        """
        trainer = self.trainer
        trained = {id(p) for update in trainer.updates for p in update.parameters}
        for name, p in trainer.module.named_parameters():
            part = f"part {name.split('.')[0]!r}" if isinstance(trainer.module, nn.ModuleDict) else name
            require(
                not p.requires_grad or id(p) in trained,
                f"{self.method}: no phase trains {part}; give it a bench.Phase, or freeze it by requires_grad_(False)",
            )
        module = copied(trainer.module)
        own = {id(p): copy for p, copy in zip(trainer.parameters, module.parameters(), strict=True)}
        for update in trainer.updates:
            module.zero_grad(set_to_none=True)
            self.loss(update, module, averaged, [own[id(p)] for p in update.parameters])

    def loss(self, update: Update, module: nn.Module, averaged: nn.Module, parameters: list[Tensor]) -> None:
        """One finite loss per sample, with a gradient to what the phase trains."""
        n, data, phase = self.n, self.dataset, update.phase
        values = data.train[:n].to(self.device)
        labels = None if data.train_labels is None else data.train_labels[:n].to(self.device)
        given = data.given(values) if data.given else None
        batch = Batch(data.encode(values, self.rng), labels, given, torch.arange(n, device=self.device))
        net = CountedNetwork(module, given=given, labels=labels)
        average = CountedNetwork(averaged, given=given, labels=labels, gradients=False)
        signature = ", ".join(inspect.signature(getattr(self.baseline, phase.loss)).parameters)
        to = "the network" if update.whole else f"part {phase.part!r}"
        with rule(f"{self.both}: {phase.loss}({signature}) of {n} samples"):
            with self.trainer.autocast():
                loss = losses(self.baseline, phase, net, batch, Context(self.rng, averaged=lambda: average))
            fits = isinstance(loss, Tensor) and loss.shape == (n,)
            require(fits, f"{self.method}: {phase.loss} of {n} samples is {shown(loss)}, not one a sample, ({n},)")
            require(bool(torch.isfinite(loss).all()), f"{self.both}: {phase.loss} of {n} samples is not finite")
            require(loss.requires_grad, f"{self.method}: {phase.loss} has no gradient to {to}")
            loss.mean().backward()
            gradients = [p.grad for p in parameters if p.grad is not None]
            require(bool(gradients), f"{self.method}: {phase.loss} has no gradient to {to}")
            finite = all(bool(torch.isfinite(g).all()) for g in gradients)
            require(finite, f"{self.both}: the gradient of {phase.loss} is not finite")
