"""The error that a solver leaves in the solution of the ODE, whatever the samples are worth.

    ode_error = E |x_solver - x_exact|^2 / d        over samples from the same noise,

with x_exact by the midpoint rule at REFERENCE evaluations (Lipman et al. 2023, figure 7: per-pixel MSE, 256 seeds).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.names import word
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Arrays, Unfinished
from bench.methods.finite import all_finite
from bench.methods.flow import mean_square
from bench.methods.sampler import Sampler
from bench.records.records import Measurement
from bench.samplers.ode import Midpoint
from bench.training import ranks

REFERENCE = 1000


class SolverError:
    """Errors of solvers on the first n samples, `batch` of them solved together."""

    def __init__(self, trained: Trained, n: int, batch: int, unfinished: Unfinished) -> None:
        self.trained, self.n, self.batch, self.unfinished = trained, n, min(batch, n), unfinished
        self._exact: dict[tuple[float, int], Tensor] = {}
        self._failures: dict[float, Exception] = {}

    def row(self, quote: Mapping[str, Any]) -> Measurement:
        settings = {**quote, "batch": self.batch, "reference": f"midpoint, NFE {REFERENCE}"}
        return Measurement("ode_error", n=self.n, settings=settings)

    def measured(self, sampler: Sampler) -> tuple[float, float | None]:
        """The error of a sampler of the ODE and its standard error; all ranks must ask. Diverged if a solve failed."""
        errors = torch.zeros(self.n, dtype=torch.float64)
        with ranks.failing_together():
            for start, exact in self.reference(sampler.guidance).items():
                error = mean_square(self._end(sampler, start).cpu().double() - exact.double())
                errors[start : start + len(error)] = all_finite(error, "errors")
        ranks.total(errors)
        return float(errors.mean()), float(errors.std()) / np.sqrt(self.n) if self.n > 1 else None

    def reference(self, guidance: float = 1.0) -> dict[int, Tensor]:
        """The reference of this rank's batches, by their starts, of the ODE by that scale; it is tried once."""
        if failure := self._failures.get(guidance):
            raise failure
        midpoint, name = Midpoint(steps=REFERENCE // 2, guidance=guidance), "ode-reference"
        if guidance != 1:
            name += f"-{word('guidance', guidance)}"
        found = {}

        def exact(start: int) -> Arrays:
            return {"x": self._end(midpoint, start).cpu().numpy()}

        try:
            for start in ranks.mine(range(0, self.n, self.batch)):
                key = guidance, start
                if key not in self._exact:
                    self._exact[key] = torch.from_numpy(self.unfinished.once(f"{name}-{start}", exact, start)["x"])
                found[start] = self._exact[key]
        except Exception as error:
            self._failures[guidance] = error
            raise
        return found

    def _end(self, sampler: Sampler, start: int) -> Tensor:
        with torch.no_grad():
            return self.trained.draw(sampler, start, min(start + self.batch, self.n))[0]
