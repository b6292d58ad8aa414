"""The error that a solver leaves in the solution of the ODE, whatever the samples are worth.

    ode_error = E |x_solver - x_exact|^2 / d        over samples from the same noise,

with x_exact by the midpoint rule at REFERENCE evaluations (Lipman et al. 2023, figure 7: per-pixel MSE, 256 seeds).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import ranks
from bench.baseline import mean_square
from bench.finite import require
from bench.metrics.sampling import Source
from bench.ode import Solver
from bench.partial import Partial
from bench.records import Measurement

REFERENCE = 1000


class SolverError:
    """Errors of solvers on the first n samples of a source, `batch` of them solved together."""

    def __init__(self, source: Source, n: int, batch: int, partial: Partial) -> None:
        self.source, self.n, self.batch = source, n, min(batch, n)
        exact = Solver("midpoint", steps=REFERENCE // 2)

        def make(start: int) -> dict[str, Any]:
            return {"x": self._end(exact, start).cpu().numpy()}

        self.exact = {
            start: torch.from_numpy(partial.once(f"ode-reference-{start}", lambda start=start: make(start))["x"])  # type: ignore[misc]
            for start in ranks.mine(range(0, n, self.batch))
        }

    def measured(self, solver: Solver, quote: dict[str, Any]) -> Measurement:
        """ode_error of the solver with its standard error; all ranks must ask.

        Raises:
            Diverged: a solve failed, on this rank or another.
        """
        errors = torch.zeros(self.n, dtype=torch.float64)
        with ranks.diverging_together():
            for start, exact in self.exact.items():
                error = mean_square(self._end(solver, start).cpu().double() - exact.double())
                errors[start : start + len(error)] = error
        ranks.total(errors)
        require(errors, "errors")
        settings = {**quote, "batch": self.batch, "reference": f"midpoint, NFE {REFERENCE}"}
        stderr = float(errors.std()) / np.sqrt(self.n) if self.n > 1 else None
        return Measurement("ode_error", float(errors.mean()), stderr, self.n, settings=settings)

    def _end(self, solver: Solver, start: int) -> Tensor:
        with torch.no_grad():
            return self.source.solved(solver)(start, min(start + self.batch, self.n))[0]
