"""Adam with its schedule, and the gradients that ranks share.

    rate(i) = max(1e-8, lr min(1, (i + 1) / warmup) decay(s)),  decay(s) = 1, 1 - s or (1 + cos(pi s)) / 2,

where s is the share of the budget after the warm-up that is spent: linear decay is the paper's schedule, from 1e-8 up
to the peak and down to 1e-8. With `shard_optimizer` every rank keeps the moments of its share of the parameters alone
(ZeRO stage 1, Rajbhandari et al. 2020, by torch's ZeroRedundancyOptimizer).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from bench.config.settings import Training
from bench.training import ranks

LEAST_RATE = 1e-8


def optimiser(parameters: Sequence[Tensor], settings: Training) -> Optimizer:
    """The optimiser of a run, sharded where that is asked for and there is more than one rank.

    It leaves alone what has no gradient: no weight decay moves a frozen parameter.
    """
    parameters = [p for p in parameters if p.is_floating_point()]  # the fused kernels refuse others
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    if settings.shard_optimizer and ranks.count() > 1:
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(parameters, kind, **options)
    return kind(parameters, **options)


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """The state of the whole optimiser; all ranks must ask, and the main one alone is answered where it is sharded."""
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
    """The rate of a step, at the share `progress` of the budget; a budget of seconds decays from its beginning."""
    s = settings
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
