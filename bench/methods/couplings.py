"""Pairs (x0, x1) of noise and data: what a loss draws its interpolants between.

independent  x0 as drawn
exact        a plan of least cost between two minibatches of n, a permutation of x0          (Pooladian et al. 2023)
drawn        n pairs of that plan with replacement, as Tong et al. (TMLR 2024) have them
sinkhorn     for each x1 an x0 of the entropic plan, whose density is ~ exp(-cost / regularisation)   (Cuturi 2013)

The cost is |x1 - x0|^2 + w |c1 - c0|^2. Where x1 is given c, noise that were chosen by x1 alone would tell c, and
samples start from noise that does not: then the plan is between (x0, c) and (x1, c) (Kerrigan et al. 2024), and the
larger w, the less does x0 tell c. A class that the network is told counts as a vector of 0 and one 1.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from bench.config.settings import NonNegative, Rate
from bench.methods.batch import Batch
from bench.methods.flow import FlowBaseline
from bench.methods.gaussian import GaussianFlow
from bench.methods.paths import Path

Coupling = Literal["independent", "exact", "drawn", "sinkhorn"]
ITERATIONS, ACCURACY = 1000, 1e-6  # of the entropic plan: after any number of them, each x1 has exactly its weight


@dataclass(frozen=True, kw_only=True)
class CoupledFlow(FlowBaseline):
    """A flow whose loss draws pairs.

    Attributes:
        coupling: how.
        given_weight: w, of what a sample is given or told, in the cost; of no effect on data without either.
    """

    coupling: Coupling = "independent"
    given_weight: NonNegative = 100.0

    @property
    def regularisation(self) -> float:
        """Of the entropic plan, in units of the cost; a field of the method, or a function of its others."""
        return 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coupling != "sinkhorn":
            self.unused("regularisation", needs='coupling = "sinkhorn"')
        if self.coupling == "independent":
            self.unused("given_weight", needs="a coupling that is not independent")

    def pairs(self, net: Any, batch: Batch, x0: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(x0, x1) of shape (B, ...), from the noise x0 (B, ...) and the batch; `net` is told of the rows of x1.

        The plan is found on the CPU, from costs in double precision.
        """
        if self.coupling == "independent":
            return x0, batch.x
        weights = plan(self.coupling, self.cost(x0, batch), self.regularisation)
        if self.coupling == "exact":
            return x0[weights.argmax(1)], batch.x
        if self.coupling == "sinkhorn":
            return x0[torch.multinomial(weights.to(x0.device), 1, generator=rng)[:, 0]], batch.x
        rows = torch.randint(len(x0), (len(x0),), generator=rng, device=x0.device)
        follow(net, rows)
        return x0[weights.argmax(1)[rows]], batch.x[rows]

    def cost(self, x0: Tensor, batch: Batch) -> Tensor:
        """Of bringing each x0 to each x1, float64, (B of x1, B of x0)."""
        cost = torch.cdist(batch.x.flatten(1), x0.flatten(1)).square().double()
        told = one_hot(batch.labels).to(x0) if self.labels and batch.labels is not None else None
        for c in (batch.given, told):
            if c is not None:
                cost += self.given_weight * torch.cdist(c.flatten(1), c.flatten(1)).square().double()
        return cost


@dataclass(frozen=True, kw_only=True)
class CoupledGaussianFlow(CoupledFlow, GaussianFlow):
    """A coupled flow along an interpolant, which is a path only if the pairs are independent."""

    regularisation: Rate = 0.05

    @property
    def path(self) -> Path | None:
        return self.interpolant if self.coupling == "independent" else None


def plan(coupling: Coupling, cost: Tensor, regularisation: float) -> Tensor:
    """Weights of the pairs between two uniform laws, (n, n): least cost, or least cost + regularisation KL."""
    import ot

    if coupling == "sinkhorn":
        options = {"numItermax": ITERATIONS, "stopThr": ACCURACY, "warn": False}
        entropic: Tensor = ot.sinkhorn([], [], cost, regularisation, method="sinkhorn_log", **options)
        return entropic
    exact: Tensor = ot.emd([], [], cost)
    return exact


def follow(net: Any, rows: Tensor) -> None:
    """What a network is given and told becomes that of those rows of its batch, until it is told of the next batch."""
    for name in ("given", "labels"):
        if (of_batch := getattr(net, name, None)) is not None:
            setattr(net, name, of_batch[rows])
