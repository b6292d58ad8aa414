"""Drawing samples: x_1 from noise x_0 along the ODE, or by a method's own sampler, with the evaluations it took.

NFE is what the network counts (bench/methods/baseline.py): rows that went through it over rows of the batch. An
adaptive solver chooses one step for the whole batch, so NFE depends on which samples are solved together; the batch is
therefore part of every setting, and the NFE of all samples is the mean of their batches'. Batches are dealt out to the
ranks and handed on one by one: however many samples there are, memory holds one batch.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.evaluation.clock import now
from bench.evaluation.partial import Partial
from bench.methods.baseline import Baseline
from bench.methods.finite import lost
from bench.methods.memory import Memory
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver, VelocityField
from bench.methods.sampler import Sampler
from bench.samplers.ode import sampler_of
from bench.training import ranks
from bench.training.seeds import generator, normal, per_sample

Draw = Callable[[int, int], tuple[Tensor, float]]  # (start, stop) -> samples and their NFE


@dataclass(frozen=True)
class Drawn:
    """Samples start ... start + len(x) - 1, uint8 pixels or points, with their NFE and seconds.

    `lost` of them were not finite; as pixels, which have no NaN, they are grey.
    """

    start: int
    x: Tensor
    nfe: float
    seconds: float
    lost: int = 0


@dataclass
class Trained:
    """A trained network of a method, and the noise that samples of a dataset are drawn from.

    Sample i starts from the noise of (seed, i). Where samples are given something, it is given what test sample i is,
    with the label of that; else its label, if the data has classes, is that of a random training sample.
    """

    baseline: Baseline
    module: nn.Module
    dataset: Dataset
    seed: int
    device: str
    memory: Memory = dataclasses.field(default_factory=Memory)

    def network(self, start: int = 0, stop: int = 0, held_out: bool = False) -> CountedNetwork:
        """net(t, x) of samples start ... stop - 1, in as many rows at once as memory holds.

        Args:
            held_out: whether they are those of the data, and not drawn.
        """
        data, rows = self.dataset, slice(start, stop)
        given = data.given(data.test[rows].to(self.device)) if data.given else None
        if held_out or data.given:
            labels = None if data.test_labels is None else data.test_labels[rows].to(self.device)
        else:
            labels = self._labels(start, stop)
        return CountedNetwork(self.module, given=given, memory=self.memory, labels=labels)

    def _labels(self, start: int, stop: int) -> Tensor | None:
        known = self.dataset.train_labels
        if known is None:
            return None
        rows = [torch.randint(len(known), (), generator=generator(self.seed, "labels", i)) for i in range(start, stop)]
        return known[torch.tensor(rows, dtype=torch.long)].to(self.device)

    @property
    def is_conditional(self) -> bool:
        """Whether the network is given something, or told a class."""
        parts = self.module.values() if isinstance(self.module, nn.ModuleDict) else [self.module]
        return self.dataset.given is not None or any(getattr(part, "classes", None) for part in parts)

    def model(self, start: int = 0, stop: int = 0) -> Model:
        """What the network can do for samples start ... stop - 1."""
        return self.model_of(self.network(start, stop))

    def model_of(self, net: CountedNetwork) -> Model:
        """What a network can do: a path from another source than N(0, I) gives no score."""
        model = self.baseline.model(net)
        if self.dataset.source is None or model.path is None:
            return model
        reason = f"the source of {self.dataset.name} is not N(0, I), so its path gives no score"
        return dataclasses.replace(model, score=None, absent={**model.absent, "score": reason})

    def field(self, start: int = 0, stop: int = 0) -> VelocityField:
        """The velocity field of samples start ... stop - 1."""
        field: VelocityField = self.model(start, stop).having("velocity")
        return field

    def noise(self, start: int, stop: int) -> Tensor:
        """x0 of samples start ... stop - 1."""
        source = self.dataset.source
        if source is None:
            return normal(self.dataset.shape, self.seed, "samples", start, stop, self.device)
        return per_sample(source.draw, self.seed, "samples", start, stop, self.device)

    def solved(self, solver: Solver) -> Draw:
        """(start, stop) -> samples along the ODE and their NFE."""
        return self.by(sampler_of(solver))

    def by(self, sampler: Sampler) -> Draw:
        """The same by any sampler."""
        return self._drawing(lambda model: sampler, f"{sampler}")

    def native(self, name: str) -> Draw:
        """The same by the method's own sampler of that name, from the same noise."""
        return self._drawing(lambda model: model.samplers[name], name)

    def _drawing(self, choose: Callable[[Model], Any], stream: str) -> Draw:
        def draw(start: int, stop: int) -> tuple[Tensor, float]:
            net = self.network(start, stop)
            x0 = self.noise(start, stop)
            model = self.model_of(net)
            sampler, rng = choose(model), generator(self.seed, stream, start, x0.device)
            x = sampler.draw(model, x0, rng) if isinstance(sampler, Sampler) else sampler(x0, rng)
            return x, net.rows / (stop - start)

        return draw

    def ways(self, solver: Solver) -> dict[str, Draw]:
        """Ways of drawing by name, the ODE's first if there is a velocity; the first is the headline row.

        Raises:
            UsageError: there is none.
        """
        model = self.model(0, 1)
        found = {solver.method: self.solved(solver)} if model.velocity else {}
        found |= {name: self.native(name) for name in model.samplers}
        if not found:
            raise UsageError(f"baseline {self.baseline.name}: its model has neither a velocity nor a sampler")
        return found

    def batches(self, name: str, draw: Draw, n: int, batch: int, partial: Partial | None = None) -> Iterator[Drawn]:
        """This rank's batches of n samples; those that `partial` has kept under `name` are not drawn again."""
        partial = partial or Partial()

        def make(start: int, stop: int) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
            begun = now(self.device)
            with torch.no_grad():
                x, nfe = draw(start, stop)
            seconds = now(self.device) - begun
            kept = self.dataset.decode(torch.nan_to_num(x) if self.dataset.is_image else x)
            found = {"x": kept.cpu().numpy(), "lost": np.array(lost(x))}
            return {**found, "nfe": np.array(nfe), "seconds": np.array(seconds)}

        for start in ranks.mine(range(0, n, batch)):
            stop = min(start + batch, n)
            part = partial.once(f"{name}-{start}", lambda start=start, stop=stop: make(start, stop))  # type: ignore[misc]
            x = torch.from_numpy(part["x"])
            yield Drawn(start, x.to(self.device), float(part["nfe"]), float(part["seconds"]), int(part["lost"]))
