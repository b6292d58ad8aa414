"""The phases of a step, each an update of its own part of the module by its own optimiser.

    g = grad mean_b loss_b, of norm `clip` at most;    theta <- Adam(theta, g) at the rate of the step

Equal phases share their optimiser: five updates of a critic per update of its generator are one critic's.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from bench.config.settings import Training
from bench.errors import UsageError
from bench.methods.baseline import Baseline, Phase
from bench.training.optimiser import learning_rate, optimiser


class Update:
    """One phase.

    Attributes:
        number: of the phase in its step, from 0.
        stream: what the names of its random streams end in: "" for the first phase, "-1" for the second.
        parameters: those that it may change.
        whole: whether these are all of the module.
    """

    def __init__(self, number: int, phase: Phase, parameters: Sequence[Tensor], optimizer: Optimizer) -> None:
        self.number, self.phase, self.parameters, self.optimizer = number, phase, parameters, optimizer
        self.stream = f"-{number}" if number else ""
        self.whole = phase.part is None

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to that of the phase's parameters."""
        loss.backward(inputs=None if self.whole else [p for p in self.parameters if p.requires_grad])

    def apply(self, settings: Training, step: int, progress: float) -> None:
        """Move the parameters by their gradients."""
        if settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, settings.clip)
        if settings.warmup or settings.decay != "constant":
            rate = learning_rate(settings, step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self.optimizer.step()


def updates(baseline: Baseline, module: nn.Module, settings: Training) -> list[Update]:
    """The updates of a step, in their order.

    Raises:
        UsageError: a phase names a loss or a part that is not there, or that has no parameter to train.
    """
    found: list[Update] = []
    optimizers: dict[Phase, Optimizer] = {}
    for number, phase in enumerate(baseline.phases):
        what = f"baseline {baseline.name}: phase {number}"
        if not callable(getattr(baseline, phase.loss, None)):
            raise UsageError(f"{what} has the loss {phase.loss!r}, which is no method of {type(baseline).__name__}")
        parameters = list(_part(module, phase.part, what).parameters())
        if not any(p.requires_grad for p in parameters):
            raise UsageError(f"{what}: part {phase.part!r} has no parameter that can be trained")
        if phase not in optimizers:
            optimizers[phase] = optimiser(parameters, settings)
        found.append(Update(number, phase, parameters, optimizers[phase]))
    if not found:
        raise UsageError(f"baseline {baseline.name}: phases are empty; allowed: at least one bench.Phase")
    return found


def _part(module: nn.Module, part: str | None, what: str) -> nn.Module:
    if part is None:
        return module
    if not isinstance(module, nn.ModuleDict):
        raise UsageError(f"{what} trains part {part!r}; build gives a {type(module).__name__}, not an nn.ModuleDict")
    if part not in module:
        raise UsageError(f"{what} trains part {part!r}; build gives the parts {', '.join(module)}")
    return module[part]
