"""Pairs (x0, x1) of noise and data: what a loss draws its interpolants between.

independent  x0 as drawn
exact        a plan of least cost between two minibatches of n, a permutation of x0          (Pooladian et al. 2023)
drawn        n pairs of that plan with replacement, as Tong et al. (TMLR 2024) have them
sinkhorn     for each x1 an x0 of the entropic plan of regularisation e, of density ~ exp(-cost / e)   (Cuturi 2013)

The entropic plan of two minibatches of 256 takes about 0.05 s of one core by the default, of points as of images. The
less the regularisation, the more iterations: ITERATIONS of them take a second or two. Each x1 comes exactly once, and
each x0 as often as it should to about 2%.

The cost is |x1 - x0|^2 + w |c1 - c0|^2. Where x1 is given c, noise that were chosen by x1 alone would tell c, and
samples start from noise that does not: then the plan is between (x0, c) and (x1, c) (Kerrigan et al. 2024), and the
larger w, the less does x0 tell c. A class that the network is told counts as a vector of 0 and one 1.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from bench.config.settings import NonNegative, Rate
from bench.methods.assignment import assignment
from bench.methods.batch import Batch, Context
from bench.methods.flow import noise
from bench.methods.gaussian import GaussianFlow
from bench.methods.paths import Path
from bench.methods.times import TimedFlow

Coupling = Literal["independent", "exact", "drawn", "sinkhorn"]
ITERATIONS, ACCURACY = 1000, 1e-4  # of the entropic plan: after any number of them, each x1 has exactly its weight
LARGEST = 80.0  # exp(-80) is a normal number in single precision
SHARE = 0.2  # of the spread of the costs, at which the plan is soon found and near the exact one


class Pairs(NamedTuple):
    """x0 and x1 (B, ...), and the rows of the batch that x1 is of, int64 (B,), None for all in their order."""

    x0: Tensor
    x1: Tensor
    rows: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class CoupledFlow(TimedFlow):
    """A flow whose loss draws pairs.

    Attributes:
        coupling: how.
        given_weight: w, of what a sample is given or told, in the cost; of no effect on data without either.
    """

    coupling: Coupling = "independent"
    given_weight: NonNegative = 100.0

    @property
    def rowwise(self) -> bool:
        return self.coupling == "independent"

    def entropy(self, squares: Tensor) -> float:
        """e of the entropic plan, in units of the cost, from |x1 - x0|^2 of all pairs (B, B); no option by itself."""
        return SHARE * spread(squares)

    def check_options(self) -> None:
        super().check_options()
        if self.coupling == "independent":
            self.unused("given_weight", needs="a coupling that is not independent")

    @property
    def looks_ahead(self) -> bool:
        return self.coupling != "independent"

    def ahead(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Pairs]:
        t, x0 = self.draw_times(batch.x, rng), noise(batch.x, rng)
        return t, self.coupled(batch, x0, rng)

    def drawn(self, net: Any, batch: Batch, ctx: Context) -> tuple[Tensor, Tensor, Tensor]:
        """t (B,), and x0 and x1 (B, ...), of a coupling between new noise and the batch; `net` is told of them."""
        t, pairs = self.found(batch, ctx)
        return t, *told_of(net, pairs)

    def coupled(self, batch: Batch, x0: Tensor, rng: torch.Generator) -> Pairs:
        """The pairs of noise x0 (B, ...) and a batch.

        The plan is found in double precision, from |x1 - x0|^2 in the precision of x; the exact one on the CPU.
        """
        if self.coupling == "independent":
            return Pairs(x0, batch.x)
        squares = torch.cdist(batch.x.flatten(1), x0.flatten(1)).square().double()
        cost = squares + self.told(batch)
        if self.coupling == "sinkhorn":
            weights = entropic(cost, self.entropy(squares))
            return Pairs(x0[one_of_each_row(weights, rng)], batch.x)
        best = assignment(cost.cpu()).to(x0.device)
        if self.coupling == "exact":
            return Pairs(x0[best], batch.x)
        rows = torch.randint(len(x0), (len(x0),), generator=rng, device=x0.device)
        return Pairs(x0[best[rows]], batch.x[rows], rows)

    def told(self, batch: Batch) -> Tensor:
        """w |c1 - c0|^2 of all pairs, float64, (B, B) or one 0; exactly 0 where the two are equal."""
        classes = one_hot(batch.labels).to(batch.x) if self.labels and batch.labels is not None else None
        cost = batch.x.new_zeros((), dtype=torch.float64)
        for c in (batch.given, classes):
            if c is not None:
                apart = torch.cdist(c.flatten(1), c.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
                cost = cost + self.given_weight * apart.square().double()
        return cost


@dataclass(frozen=True, kw_only=True)
class CoupledGaussianFlow(CoupledFlow, GaussianFlow):
    """A coupled flow along an interpolant, which is a path only if the pairs are independent.

    Attributes:
        regularisation: of the entropic plan, as a share of the `spread` of |x1 - x0|^2 over all pairs of a batch, so
            that it means much the same in any dimension and at any scale.
    """

    regularisation: Rate = SHARE

    def check_options(self) -> None:
        super().check_options()
        if self.coupling != "sinkhorn":
            self.unused("regularisation", needs='coupling = "sinkhorn"')

    def entropy(self, squares: Tensor) -> float:
        return self.regularisation * spread(squares)

    @property
    def path(self) -> Path | None:
        return self.interpolant if self.coupling == "independent" else None


def spread(cost: Tensor) -> float:
    """Standard deviation of a matrix less its means by row and by column, which tell no plan from another; above 0."""
    rest = cost - cost.mean(0) - cost.mean(1, keepdim=True) + cost.mean()
    return max(float(rest.std(correction=0)), 1e-9)


def entropic(cost: Tensor, regularisation: float, accuracy: float = ACCURACY) -> Tensor:
    """Weights of the pairs between two uniform laws, (n, n), of least cost + regularisation KL.

    Iterations end once the columns add up to 1 / n but for `accuracy`, as a vector's length. They scale
    exp(-cost / regularisation) in single precision where that holds it, and elsewhere its logarithm, at ten times the
    cost. Weights are float32 or float64.
    """
    import ot

    options = {"numItermax": ITERATIONS, "stopThr": accuracy, "warn": False}
    cost = cost - cost.amin(1, keepdim=True)  # which changes no plan
    cost = cost - cost.amin(0)
    if float(cost.max()) < LARGEST * regularisation:
        found: Tensor = ot.sinkhorn([], [], cost.float(), regularisation, **options)
    else:
        found = ot.sinkhorn([], [], cost, regularisation, method="sinkhorn_log", **options)
    return found


def one_of_each_row(weights: Tensor, rng: torch.Generator) -> Tensor:
    """A column for each row of weights (n, m), by the row's weights, int64 (n,); in a tenth of multinomial's time."""
    heights = weights.double().cumsum(1)
    u = torch.rand(len(weights), 1, generator=rng, device=weights.device, dtype=torch.float64)
    return torch.searchsorted(heights, u * heights[:, -1:])[:, 0].clamp(max=weights.shape[1] - 1)


def told_of(net: Any, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(x0, x1); what a network is given and told becomes that of their rows, until it is told of the next batch."""
    for name in ("given", "labels"):
        if pairs.rows is not None and (of_batch := getattr(net, name, None)) is not None:
            setattr(net, name, of_batch[pairs.rows])
    return pairs.x0, pairs.x1
