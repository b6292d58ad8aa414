"""Classifier-free guidance (Ho & Salimans, NeurIPS 2021 workshop; of flows: Zheng et al. 2023), by the network itself.

    net_w(t, x | c) = net(t, x) + w (net(t, x | c) - net(t, x)),    net(t, x) told no class.

What a network predicts (velocity, noise, score or data) is an affine function of any other of these with coefficients
of t and x alone, and the weights w and 1 - w add up to 1: the velocity of a guided network is v + w (v_c - v) whichever
it predicts. A flow map and a consistency function are guided jump by jump, which no longer follows the guided ODE.
"""

from typing import Any

from torch import Tensor

from bench.methods.network import AS_BOUND, Network

NO_CLASS = -1


def evaluations_at(scale: float) -> int:
    """Evaluations of the network by one of the guided field: 2, but 1 if it is told its class alone, or none."""
    return 1 if scale in (0, 1) else 2


class Guided:
    """A network guided by its classes; w = 0 costs 1 evaluation, any other 2. All else is the network's own."""

    def __init__(self, net: Network, scale: float) -> None:
        self.net, self.scale = net, scale

    def __call__(self, *inputs: Tensor, labels: Tensor | None = AS_BOUND, **named: Tensor | None) -> Tensor:
        free = self.net(*inputs, labels=None, **named)
        return free if self.scale == 0 else free + self.scale * (self.net(*inputs, labels=labels, **named) - free)

    def of(self, rows: Tensor) -> "Guided":
        net: Any = self.net
        return Guided(net.of(rows), self.scale)

    @property
    def eager(self) -> "Guided":
        net: Any = self.net
        return Guided(net.eager, self.scale)

    def __getitem__(self, part: str) -> Any:
        net: Any = self.net
        return Guided(net[part], self.scale) if net[part].has_classes else net[part]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)
