"""Methods whose network may be told the classes of the data, and is then guided by them (bench/methods/guidance.py)."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.errors import NotApplicable
from bench.methods.baseline import About, Baseline, Make
from bench.methods.guidance import NO_CLASS, Guided
from bench.methods.model import Model
from bench.methods.network import Network


@dataclass(frozen=True)
class LabelledBaseline(Baseline):
    """A method of one network, with classes by an option.

    Attributes:
        labels: whether the network is told the classes of the data, in training and in drawing.
        label_dropout: share of training samples that it is told no class of, which guidance needs (Ho & Salimans 2022;
            of flows: Zheng et al. 2023).
    """

    labels: bool = field(default=False, kw_only=True)
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = field(default=0.1, kw_only=True)

    def check_options(self) -> None:
        super().check_options()
        if not self.labels:
            self.unused("label_dropout", needs="labels = true")

    def inputs(self, data: About) -> dict[str, Any]:
        """What `build` passes on to make.network: {"classes": K} with labels, else nothing.

        Raises:
            NotApplicable: labels = true, and the data has no classes.
        """
        if not self.labels:
            return {}
        if not data.classes:
            raise NotApplicable("labels = true needs data with classes")
        return {"classes": data.classes}

    def build(self, make: Make, data: About) -> nn.Module:
        return make.network(**self.inputs(data))

    def tell(self, labels: Tensor | None, rng: torch.Generator) -> Tensor | None:
        """All classes but for a share of `label_dropout`."""
        if not self.labels or labels is None:
            return labels
        dropped = torch.rand(len(labels), generator=rng, device=labels.device) < self.label_dropout
        return torch.where(dropped, NO_CLASS, labels)

    def guidable(self, model: Model, net: Network) -> Model:
        """The model of a network with its guidance, or with the reason why it has none."""
        if why := self._unguided(net):
            return replace(model, absent={**model.absent, "guidance": why})
        return replace(model, guidance=lambda scale: self.model(Guided(net, scale)))

    def _unguided(self, net: Network) -> str:
        """Why nothing guides the network; "" if classes do."""
        if not getattr(net, "has_classes", False):
            return "the network is told no class"
        learnt = self.label_dropout > 0 or not self.labels
        return "" if learnt else "label_dropout = 0: the network has not learnt what no class is"
