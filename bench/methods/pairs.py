"""Pairs (x0, z1) of a frozen flow: noise, and where the flow's ODE leads from it (Liu et al., ICLR 2023)."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from bench.methods.flow import field_of
from bench.methods.ode import Solver, solve


@torch.no_grad()
def led(teacher: Any, x0: Tensor, solver: Solver) -> Tensor:
    """z1 of noise x0 (B, ...), without a gradient; the evaluations of the teacher, a part of a network, are counted.

    The velocity is that of the teacher's own method if it is a run (`Make.pretrained`), else the network itself.

    Raises:
        NotApplicable: the method has no velocity.
        Diverged: the solution is not finite.
    """
    method: Any = getattr(teacher.module, "method", None)
    if method is None:
        return solve(field_of(teacher), x0, (0.0, 1.0), solver)[-1]
    model = method.model(teacher)
    return solve(model.predicted_velocity(), x0, (0.0, model.t_end), solver)[-1]


@torch.no_grad()
def copy_weights(origin: nn.Module, into: nn.Module) -> None:
    """Put the parameters and buffers of a module in the place of those of another of its kind."""
    found, kept = (chain(module.parameters(), module.buffers()) for module in (origin, into))
    for now, tensor in zip(found, kept, strict=True):
        tensor.copy_(now)
