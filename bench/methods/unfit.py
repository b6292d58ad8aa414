"""What stands in for a method that is not for the data of its run: all that is asked of it is not applicable."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.errors import NotApplicable
from bench.methods.baseline import Baseline
from bench.methods.model import Model


@dataclass(frozen=True)
class Unfit(Baseline):
    """A method with a velocity that refuses to be evaluated, so that its blank rows are those of a flow."""

    reason: str

    def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:
        raise NotApplicable(self.reason)

    def model(self, net: Any) -> Model:
        def refuse(t: Tensor, x: Tensor) -> Tensor:
            raise NotApplicable(self.reason)

        return Model(refuse, absent=dict.fromkeys(("path", "score", "eps", "data"), self.reason))
