"""The error that a solver leaves in the solution of the ODE, whatever the samples are worth.

    ode_error = E |x_solver - x_exact|^2 / d        over samples from the same noise,

with x_exact by the midpoint rule at REFERENCE evaluations (Lipman et al. 2023, figure 7: per-pixel MSE, 256 seeds).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.evaluation.partial import Partial
from bench.evaluation.trained import Trained
from bench.methods.finite import require
from bench.methods.flow import mean_square
from bench.methods.sampler import Sampler
from bench.records.records import Measurement
from bench.samplers.ode import Midpoint
from bench.training import ranks

REFERENCE = 1000


class SolverError:
    """Errors of solvers on the first n samples, `batch` of them solved together."""

    def __init__(self, trained: Trained, n: int, batch: int, partial: Partial) -> None:
        self.trained, self.n, self.batch, self.partial = trained, n, min(batch, n), partial
        self._exact: dict[int, Tensor] = {}
        self._failure: Exception | None = None

    def measured(self, sampler: Sampler, settings: dict[str, Any]) -> list[Measurement]:
        """ode_error of a sampler of the ODE with its standard error; all ranks must ask.

        Raises:
            Diverged: a solve failed, the reference's or the sampler's (Lost where several ranks share the run).
        """
        errors = torch.zeros(self.n, dtype=torch.float64)
        with ranks.failing_together():
            for start, exact in self.reference().items():
                error = mean_square(self._end(sampler, start).cpu().double() - exact.double())
                errors[start : start + len(error)] = require(error, "errors")
        ranks.total(errors)
        stderr = float(errors.std()) / np.sqrt(self.n) if self.n > 1 else None
        return [Measurement("ode_error", float(errors.mean()), stderr, self.n, settings=self._of_reference(settings))]

    def blank(self, settings: dict[str, Any], reason: str) -> list[Measurement]:
        """The same without a value."""
        settings = self._of_reference(settings)
        return [Measurement("ode_error", math.nan, None, self.n, settings=settings, reason=reason)]

    def _of_reference(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "batch": self.batch, "reference": f"midpoint, NFE {REFERENCE}"}

    def reference(self) -> dict[int, Tensor]:
        """The reference of this rank's batches, by their starts; it is tried once."""
        if self._failure:
            raise self._failure
        midpoint = Midpoint(steps=REFERENCE // 2)
        try:
            for start in ranks.mine(range(0, self.n, self.batch)):
                if start not in self._exact:
                    make = lambda start=start: {"x": self._end(midpoint, start).cpu().numpy()}  # noqa: E731
                    self._exact[start] = torch.from_numpy(self.partial.once(f"ode-reference-{start}", make)["x"])
        except Exception as error:
            self._failure = error
            raise
        return self._exact

    def _end(self, sampler: Sampler, start: int) -> Tensor:
        with torch.no_grad():
            return self.trained.draw(sampler, start, min(start + self.batch, self.n))[0]
