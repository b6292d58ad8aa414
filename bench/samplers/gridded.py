"""What samplers that go through a time grid share: 0 = t_0 < ... < t_N = t_end (bench/samplers/grids.py)."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.config.settings import Positive, Rate
from bench.errors import UsageError
from bench.methods.model import Model
from bench.methods.sampler import Sampler
from bench.samplers.grids import Grid, ends


@dataclass(frozen=True)
class Gridded(Sampler):
    steps: Positive = 20
    grid: Grid = "uniform"
    rho: Rate = 7.0

    def __post_init__(self) -> None:
        if self.rho != Gridded.rho and self.grid != "karras":
            raise UsageError(
                f"sampler {self.name}: rho = {self.rho:g} is of grid 'karras'; grid = {self.grid!r} has none"
            )

    def settings(self, model: Model) -> dict[str, Any]:
        found = super().settings(model)
        if self.grid != "karras":
            del found["options"]["rho"]
        return found

    def ends(self, model: Model, x0: Tensor) -> Tensor:
        """t_0 ... t_N, float64 (steps + 1,); NotApplicable if the grid needs a path and the model has none."""
        return ends(self.grid, self.steps, self.rho, model, x0.device)
