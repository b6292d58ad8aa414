"""Clipping of the gradients of one optimiser, by a fixed bound and by one relative to the running norm.

    g <- g min(1, L / (|g| + 1e-6)),    L = min(clip, clip_relative m),    m <- m + (min(|g|, L) - m) / min(i, WINDOW)

in its update i = 1, 2, ...: m is the mean of the first WINDOW norms, each as it was clipped, and exponential from
then on. There is no relative bound while m = 0, so the first gradient is kept. A fixed bound depends on the unit of
the loss, a relative one does not. The norm is that of the sum over ranks, so every rank clips alike, and nothing here
waits for the device. What is not finite stays so.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from bench.config.settings import Training

WINDOW = 100


class Clipping:
    """The bound on the gradients of one optimiser, or of the S runs of a stack, each by its own norm.

    Attributes:
        numbers: m, updates taken, and those of them that were clipped, (3,) or (3, S), float64, on the device.
    """

    def __init__(self, settings: Training, device: torch.device) -> None:
        self.clip, self.relative = settings.clip or torch.inf, settings.clip_relative
        self.numbers = torch.zeros(3, dtype=torch.float64, device=device)

    def join(self, runs: Sequence["Clipping"]) -> None:
        """Be that of a stack of runs, whose numbers are from now on views of these."""
        self.numbers = torch.stack([run.numbers for run in runs], dim=1)
        for run, own in zip(runs, self.numbers.unbind(1), strict=True):
            run.numbers = own

    @torch.no_grad()
    def bound(self, parameters: Iterable[Tensor]) -> None:
        """Scale the gradients of parameters, of a stack's (S, ...), to the bound."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients or (self.clip == torch.inf and not self.relative):
            return
        norm = self._norm(gradients)
        mean, taken, clipped = self.numbers
        taken += 1
        if self.relative:
            limit = (self.relative * mean).masked_fill(mean == 0, torch.inf).clamp(max=self.clip)
            mean += (torch.minimum(norm, limit) - mean) / taken.clamp(max=WINDOW)
            scale = (limit / (norm + 1e-6)).to(norm.dtype).clamp(max=1.0)
        else:
            scale = (self.clip / (norm + 1e-6)).clamp(max=1.0)  # bit for bit torch's clip_grad_norm_
        clipped += scale < 1
        if scale.dim():
            for gradient in gradients:
                gradient.mul_(scale.reshape(-1, *[1] * (gradient.dim() - 1)))
        else:
            torch._foreach_mul_(gradients, scale)

    def _norm(self, gradients: list[Tensor]) -> Tensor:
        if self.numbers.dim() == 1:
            return nn.utils.get_total_norm(gradients)
        return vector_norm(torch.stack([vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]), dim=0)


def share_clipped(clippings: Iterable[Clipping], steps: int) -> float | None:
    """The share of all updates of so many steps whose gradients were clipped; waits for the device.

    None if they do not know of all: a checkpoint of older code holds no numbers of theirs.
    """
    _, taken, clipped = torch.stack([clipping.numbers for clipping in clippings]).sum(0)
    return float(clipped / taken) if taken >= steps else None
