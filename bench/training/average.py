"""The averaged weights of a module in training, which every metric is measured on.

    theta_ema <- theta_ema + (1 - d) (theta - theta_ema),    d = min(ema, (1 + step) / (10 + step))

Only what is trained is averaged. Buffers and parameters that take no gradient are those of the last step, and so are
all parameters if `ema` is 0.
"""

import torch
from torch import Tensor, nn

from bench.methods.network import CountedNetwork
from bench.training.modules import copied


class Average:
    """The averages of a module's parameters, `tensors` in their order; one that takes no gradient is its own."""

    def __init__(self, module: nn.Module, ema: float) -> None:
        self.module, self.ema = module, ema
        self.parameters: list[Tensor] = list(module.parameters())
        self.tensors = [p.detach().clone() if ema and p.requires_grad else p for p in self.parameters]
        self._net: CountedNetwork | None = None

    def follow(self, step: int) -> None:
        """Take in the weights after an update, the `step`-th from 0."""
        if self.ema:
            self._follow(step)

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        pairs = zip(self.tensors, self.parameters, strict=True)
        averages, trained = zip(*((a, p) for a, p in pairs if p.requires_grad), strict=True)
        torch._foreach_lerp_(averages, trained, 1 - min(self.ema, (1 + step) / (10 + step)))

    @torch.no_grad()
    def frozen(self, shared: bool = False) -> nn.Module:
        """A copy with the averaged weights, or one that shares them, in evaluation mode and without gradients.

        UsageError if something in the module cannot be copied.
        """
        module = copied(self.module).eval().requires_grad_(False)
        for copy, average in zip(module.parameters(), self.tensors, strict=True):
            copy.data = average.data if shared else copy.data.copy_(average)
        return module

    @torch.no_grad()
    def network(self, net: CountedNetwork) -> CountedNetwork:
        """The network of those weights beside `net`, with which it shares its batch and its count; no gradients.

        It is built once, and follows the training at the cost of copying buffers.
        """
        if self._net is None:
            self._net = CountedNetwork(self.frozen(shared=True), net.compiled, shared=net.shared, gradients=False)
        for buffer, now in zip(self._net.module.buffers(), self.module.buffers(), strict=True):
            buffer.copy_(now)
        return self._net
