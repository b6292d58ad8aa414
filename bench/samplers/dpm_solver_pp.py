"""DPM-Solver++ of Lu et al. (2022), its multistep methods of data prediction through diffusers.

The first step is of order 1 and leaves an error of h^2, which the third method cannot undo: it gains at few steps.
"""

from dataclasses import dataclass
from typing import Any, Literal

from bench.methods.sampler import register_sampler
from bench.samplers.multistep import Multistep


@register_sampler("dpm_solver_pp")
@dataclass(frozen=True)
class DPMSolverPlusPlus(Multistep):
    solver_order: Literal[1, 2, 3] = 2

    @property
    def order(self) -> int:
        return min(self.solver_order, 2)

    def scheduler(self, **options: Any) -> Any:
        from diffusers import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler(solver_order=self.solver_order, **options)
