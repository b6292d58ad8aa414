"""A network as a method sees it: a module that counts the rows that go through it, with what a batch is given.

The NFE of a batch is `rows` over the rows of the batch, whatever a method made of them: a guided field that asks for
2 B rows, or asks twice, costs 2 an evaluation; a generator of one shot costs 1.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.methods.memory import Memory, Shared

Network = Callable[..., Tensor]
AS_BOUND: Any = object()  # labels are those of the batch unless a call says otherwise


def takes_classes(module: nn.Module) -> bool:
    """Whether the module, or a part of a ModuleDict, is told classes."""
    parts = module.values() if isinstance(module, nn.ModuleDict) else [module]
    return any(getattr(part, "classes", None) for part in parts)


def _shared(name: str) -> Any:
    return property(lambda net: getattr(net.shared, name), lambda net, value: setattr(net.shared, name, value))


class CountedNetwork:
    """net(t, x) of a module, the one place that NFE comes from; `net["part"]` is a module of a ModuleDict.

    The last tensor of a call is x. What the batch is given goes along: images (B, C', H, W) join x as further channels,
    vectors (B, K) are the keyword `given`, and classes the keyword `labels`; a call may say `labels` itself, and None
    means no class. Further keywords are the module's own, such as the second time `r` of net(t, x, r=r).

    Attributes:
        module: the network proper.
        compiled: whether it is compiled.
        calls: module -> how it is called; by default compiled if `compiled`, else as it is.
        given, labels, rows: see `Shared`. Labels go to a module with a number of `classes`, as one built with classes
            has.
        memory: cuts a call that wants no gradient to the rows that there is room for.
        gradients: whether a call keeps what a gradient needs.
        chosen: rows of the batch that x is of, None for all.
    """

    given, labels, rows = _shared("given"), _shared("labels"), _shared("rows")

    def __init__(
        self,
        module: nn.Module,
        compiled: bool = False,
        given: Tensor | None = None,
        memory: Memory | None = None,
        labels: Tensor | None = None,
        shared: Shared | None = None,
        gradients: bool = True,
        chosen: Tensor | None = None,
        calls: Callable[[nn.Module], Network] | None = None,
    ) -> None:
        self.module, self.compiled, self.memory, self.calls = module, compiled, memory, calls
        self.shared, self.gradients, self.chosen = shared or Shared(given, labels), gradients, chosen
        self.flow: Any = None  # what bench/methods/cnf.py compiles of it
        self._parts: dict[str, CountedNetwork] = {}

    @cached_property
    def _call(self) -> Network:
        if self.calls:
            return self.calls(self.module)
        return torch.compile(self.module) if self.compiled else self.module

    def _like(self, module: nn.Module, eager: bool = False) -> "CountedNetwork":
        return CountedNetwork(
            module,
            self.compiled and not eager,
            memory=self.memory,
            shared=self.shared,
            gradients=self.gradients,
            chosen=self.chosen,
            calls=None if eager else self.calls,
        )

    def of(self, rows: Tensor) -> "CountedNetwork":
        """The same for those rows of the batch, int64 (n,), of which one may come several times: x is (n, ...)."""
        found = self._like(self.module)
        found.chosen, found._call = rows, self._call  # what is compiled once serves all
        return found

    def _bound(self, value: Tensor | None) -> Tensor | None:
        return value if value is None or self.chosen is None else value[self.chosen]

    @property
    def eager(self) -> "CountedNetwork":
        """The same, not compiled."""
        return self._like(self.module, eager=True)

    @property
    def takes_more(self) -> bool:
        """Whether what a batch is given goes to the module beside t and x, or a part of it is called."""
        return self.has_classes or self.given is not None or isinstance(self.module, nn.ModuleDict)

    @property
    def has_classes(self) -> bool:
        """Whether the classes of the batch go to the module, or to a part of it."""
        return self.labels is not None and takes_classes(self.module)

    def __getitem__(self, part: str) -> "CountedNetwork":
        """A part of a ModuleDict, given what the whole is given and counted with it.

        Raises:
            UsageError: the module has no such part.
        """
        if part not in self._parts:
            if not isinstance(self.module, nn.ModuleDict) or part not in self.module:
                parts = ", ".join(self.module) if isinstance(self.module, nn.ModuleDict) else "none"
                raise UsageError(f"net[{part!r}]: the module has no such part; it has: {parts}")
            self._parts[part] = self._like(self.module[part])
        return self._parts[part]

    def __call__(self, *inputs: Tensor, labels: Tensor | None = AS_BOUND, **named: Tensor | None) -> Tensor:
        call, (*before, x) = self._call, inputs
        rows = len(x)
        if labels is not AS_BOUND:
            named["labels"] = labels
        elif self.labels is not None and getattr(self.module, "classes", None):
            named["labels"] = self._bound(self.labels)
        given = self._bound(self.given)
        if given is not None and given.dim() == x.dim() and x.dim() > 2:
            x = torch.cat([x, given], 1)
        elif given is not None:
            named["given"] = given
        with nullcontext() if self.gradients else torch.no_grad():
            if self.memory is None or torch.is_grad_enabled():
                found = call(*before, x, **named)
            else:

                def of(part: slice) -> Tensor:
                    cut = {key: value if value is None else value[part] for key, value in named.items()}
                    return call(*(tensor[part] for tensor in before), x[part], **cut)

                found = self.memory.rowwise(of, rows)
        self.rows += rows
        return found
