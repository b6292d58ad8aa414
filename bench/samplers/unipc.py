"""UniPC of Zhao et al. (NeurIPS 2023), a predictor and a corrector of data prediction through diffusers.

The last step is of order 1 and has no corrector, whatever the order of the others: all are of order 2.
"""

from dataclasses import dataclass
from typing import Any, Literal

from bench.methods.sampler import register_sampler
from bench.samplers.multistep import Multistep


@register_sampler("unipc")
@dataclass(frozen=True)
class UniPC(Multistep):
    solver_order: Literal[1, 2, 3] = 2
    order = 2

    def scheduler(self, **options: Any) -> Any:
        from diffusers import UniPCMultistepScheduler

        return UniPCMultistepScheduler(solver_order=self.solver_order, **options)
