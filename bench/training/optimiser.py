"""The phases of a step, each an update of its own part of the module by its own Adam, and what ranks share of them.

    g = grad mean_b loss_b, clipped;    theta <- Adam(theta, g) at the rate of the step

    rate(i) = max(1e-8, lr min(1, (i + 1) / warmup) decay(s)),  decay(s) = 1, 1 - s or (1 + cos(pi s)) / 2,

where s is the share of the budget after the warm-up that is spent: linear decay is the paper's schedule, from 1e-8 up
to the peak and down to 1e-8. With `warmup_share` w the rise is min(1, p / w), where p is the share of the whole budget
that was spent before the step. Adam's betas are those of `training.betas`, or else the phase's. Equal phases share
their optimiser: five updates of a critic per update of its generator are one critic's. With `shard_optimizer` every
rank keeps the moments of its share of the parameters alone (ZeRO stage 1, Rajbhandari et al. 2020, by torch's
ZeroRedundancyOptimizer).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.config.settings import Training
from bench.errors import UsageError
from bench.methods.baseline import Baseline, Phase
from bench.training import ranks
from bench.training.clipping import Clipping

LEAST_RATE = 1e-8


class Update:
    """One phase, the `number`-th of its step from 0, which may change its parameters.

    Attributes:
        stream: what the names of its random streams end in: "" for the first phase, "-1" for the second.
        whole: whether these are all of the module.
    """

    def __init__(
        self, number: int, phase: Phase, parameters: Sequence[Tensor], optimizer: Optimizer, clipping: Clipping
    ) -> None:
        self.number, self.phase, self.parameters = number, phase, parameters
        self.optimizer, self.clipping = optimizer, clipping
        self.stream = f"-{number}" if number else ""
        self.whole = phase.part is None

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss, or of the sum of several, to that of the phase's parameters."""
        inputs = None if self.whole else [p for p in self.parameters if p.requires_grad]
        loss.backward(torch.ones_like(loss) if loss.dim() else None, inputs=inputs)

    def apply(self, settings: Training, step: int, progress: float) -> None:
        """Move the parameters by their gradients."""
        self.clipping.bound(self.parameters)
        if settings.warmup or settings.warmup_share or settings.decay != "constant":
            rate = learning_rate(settings, step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self.optimizer.step()


def updates(baseline: Baseline, module: nn.Module, settings: Training) -> list[Update]:
    """The updates of a step, in their order.

    UsageError if a phase names a loss or a part that is not there, that has no parameter to train, or betas that are
    none of Adam's.
    """
    found: list[Update] = []
    shared: dict[Phase, tuple[Optimizer, Clipping]] = {}
    for number, phase in enumerate(baseline.phases):
        what = f"baseline {baseline.name}: phase {number}"
        if not callable(getattr(baseline, phase.loss, None)):
            raise UsageError(f"{what} has the loss {phase.loss!r}, which is no method of {type(baseline).__name__}")
        part = module
        if phase.part is not None:
            if not isinstance(module, nn.ModuleDict):
                kind = type(module).__name__
                raise UsageError(f"{what} trains part {phase.part!r}; build gives a {kind}, not an nn.ModuleDict")
            if phase.part not in module:
                raise UsageError(f"{what} trains part {phase.part!r}; build gives the parts {', '.join(module)}")
            part = module[phase.part]
        parameters = list(part.parameters())
        if not any(p.requires_grad for p in parameters):
            raise UsageError(f"{what}: part {phase.part!r} has no parameter that can be trained")
        if not _is_pair(phase.betas):
            raise UsageError(f"{what} has betas = {phase.betas}: a tuple of two numbers from 0 to below 1 is needed")
        if phase not in shared:
            clipping = Clipping(settings, parameters[0].device)
            shared[phase] = optimiser(parameters, settings, phase.betas), clipping
        found.append(Update(number, phase, parameters, *shared[phase]))
    if not found:
        raise UsageError(f"baseline {baseline.name}: phases are empty; allowed: at least one bench.Phase")
    return found


def _is_pair(betas: object) -> bool:
    if not isinstance(betas, tuple) or len(betas) != 2:
        return False
    return all(type(beta) in (int, float) and 0 <= beta < 1 for beta in betas)


def optimiser(parameters: Sequence[Tensor], settings: Training, betas: tuple[float, float] = Phase.betas) -> Optimizer:
    """The optimiser of some parameters, sharded if the settings say so and there is more than one rank.

    It leaves alone what has no gradient: no weight decay moves a frozen parameter.
    """
    parameters = [p for p in parameters if p.is_floating_point()]  # the fused kernels refuse others
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    options: dict[str, Any] = {
        "lr": settings.lr,
        "betas": tuple(map(float, settings.betas or betas)),  # torch refuses (0, 0.99)
        "weight_decay": settings.weight_decay,
        "fused": True,
    }
    if settings.shard_optimizer and ranks.count() > 1:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(parameters, kind, **options)
    return kind(parameters, **options)


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """The state of the whole optimiser; all ranks must ask, and of a sharded one only the main rank is answered."""
    if hasattr(optimizer, "consolidate_state_dict"):
        optimizer.consolidate_state_dict(to=0)
        if not ranks.is_main():
            return {}
    return optimizer.state_dict()


def restore_moments(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what `moments` gave, into an optimiser that is sharded or not."""
    optimizer.load_state_dict(state)
    # A sharded one leaves the step counts on the CPU, where a fused Adam of a GPU does not look.
    for parameter, entry in getattr(optimizer, "optim", optimizer).state.items():
        entry["step"] = entry["step"].to(parameter.device)


def learning_rate(settings: Training, step: int, progress: float) -> float:
    """The rate of a step, at the share `progress` of the budget.

    After a warm-up counted in steps, a budget without steps decays from its beginning.
    """
    s = settings
    if s.warmup_share:
        begin, warm = s.warmup_share, min(1.0, progress / s.warmup_share)
    else:
        warm = min(1.0, (step + 1) / s.warmup) if s.warmup else 1.0
        begin = min(s.warmup / s.steps, 1.0) if s.steps else 0.0
    spent = max(0.0, progress - begin) / (1 - begin) if begin < 1 else 0.0
    decay = {"constant": 1.0, "linear": 1 - spent, "cosine": 0.5 * (1 + math.cos(math.pi * spent))}
    return max(LEAST_RATE, s.lr * warm * decay[s.decay])


def share_gradients(parameters: Sequence[Tensor], loss: Tensor) -> None:
    """Put the sum over ranks in the place of every gradient and of the loss, by one reduction.

    A parameter that no rank has a gradient of has none afterwards, as with one rank: a gradient of zeros would have it
    moved by weight decay and by its moments.
    """
    trained = [p for p in parameters if p.requires_grad]
    moved = ranks.agreed(*(p.grad is not None for p in trained))
    trained = [p for p, any_rank in zip(trained, moved, strict=True) if any_rank]
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
    flat = ranks.total(torch.cat([*(g.reshape(-1) for g in gradients), loss.to(gradients[0]).reshape(1)]))
    *parts, mean = flat.split([*(g.numel() for g in gradients), 1])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.grad = gradient
    loss.copy_(mean[0])
