"""Drawing samples: x_1 from noise x_0 along the ODE, or by a method's own sampler, with the evaluations it took.

NFE is what the network counts (bench/methods/network.py): rows that went through it over rows of the batch. An
adaptive solver chooses one step for the whole batch, so NFE depends on which samples are solved together; the batch is
therefore part of every setting, and the NFE of all samples is the mean of their batches'. Batches are dealt out to the
ranks and handed on one by one: however many samples there are, memory holds one batch.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.datasets.base import Dataset
from bench.datasets.source import starts
from bench.errors import NotApplicable, UsageError
from bench.evaluation.clock import now
from bench.evaluation.unfinished import Arrays, Unfinished
from bench.methods.baseline import Baseline
from bench.methods.compilation import Compilation
from bench.methods.finite import lost
from bench.methods.memory import Memory
from bench.methods.model import Model
from bench.methods.network import CountedNetwork, takes_classes
from bench.methods.ode import Solver, VelocityField
from bench.methods.sampler import Sampler
from bench.samplers.ode import sampler_of
from bench.training import ranks
from bench.training.seeds import generator, normal, per_sample

Way = Sampler | str  # a sampler, or the name of one of the model's own
NONE: Mapping[str, Sampler] = {}


@dataclass(frozen=True)
class Drawn:
    """Samples from `start` on, uint8 pixels or points, with their NFE and seconds."""

    start: int
    x: Tensor
    nfe: float
    seconds: float
    lost: int = 0  # of them were not finite; as pixels, which have no NaN, they are grey


@dataclass
class Trained:
    """A trained network of a method, and the noise that samples of a dataset are drawn from.

    Sample i starts from the noise of (seed, i). Where samples are given something, it is given what test sample i is,
    with the label of that; else its label, if the data has classes, is that of a random training sample, or i mod K if
    labels are `balanced`. The seconds of a batch have none of those that `compilation` takes.
    """

    baseline: Baseline
    module: nn.Module
    dataset: Dataset
    seed: int
    device: str
    memory: Memory = dataclasses.field(default_factory=Memory)
    balanced: bool = False
    compilation: Compilation = dataclasses.field(default_factory=Compilation)

    def network(self, start: int = 0, stop: int = 0, held_out: bool = False) -> CountedNetwork:
        """net(t, x) of samples start ... stop - 1, of the data's if `held_out`, in as many rows as memory holds."""
        data, rows = self.dataset, slice(start, stop)
        given = data.given_of("test", rows, self.device)
        labels = self._labels(start, stop, held_out or data.is_given)
        calls = self.compilation.of
        return CountedNetwork(self.module, given=given, memory=self.memory, labels=labels, calls=calls)

    def _labels(self, start: int, stop: int, held_out: bool) -> Tensor | None:
        data = self.dataset
        known = data.test_labels if held_out else data.train_labels
        if known is None:
            if self.has_classes:
                raise NotApplicable(f"the {data.held_out if held_out else 'train'} data of {data.name} have no labels")
            return None
        if held_out:
            return known[start:stop].to(self.device)
        if self.balanced and data.classes:
            return torch.arange(start, stop, device=self.device) % data.classes
        rows = [torch.randint(len(known), (), generator=generator(self.seed, "labels", i)) for i in range(start, stop)]
        return known[torch.tensor(rows, dtype=torch.long)].to(self.device)

    def labels(self, held_out: bool = False) -> dict[str, str]:
        """What a measurement quotes of a network that is told classes: the split that they are of, or "balanced"."""
        if not self.has_classes:
            return {}
        if held_out or self.dataset.is_given:
            return {"labels": self.dataset.held_out}
        return {"labels": "balanced" if self.balanced else "train"}

    @property
    def has_classes(self) -> bool:
        """Whether the network is told a class, which the data has."""
        return self.dataset.classes is not None and takes_classes(self.module)

    @property
    def is_conditional(self) -> bool:
        return self.dataset.is_given or self.has_classes

    def model(self, start: int = 0, stop: int = 0) -> Model:
        """What the network can do for samples start ... stop - 1."""
        return self.model_of(self.network(start, stop))

    def model_of(self, net: CountedNetwork) -> Model:
        """What a network can do: from another source than N(0, I) no path is Gaussian, and nothing follows from one."""
        return self._from_source(self.baseline.model(net))

    def _from_source(self, model: Model) -> Model:
        if self.dataset.source is None or model.path is None:
            return model
        guidance = model.guidance
        reason = f"the source of {self.dataset.name} is not N(0, I), so the model has no Gaussian path"
        absent = {**model.absent, **dict.fromkeys(("path", "score", "eps", "data"), reason)}
        guided = guidance and (lambda scale: self._from_source(guidance(scale)))
        return dataclasses.replace(model, path=None, score=None, eps=None, data=None, guidance=guided, absent=absent)

    def field(self, start: int = 0, stop: int = 0) -> VelocityField:
        field: VelocityField = self.model(start, stop).having("velocity")
        return field

    def noise(self, start: int, stop: int) -> Tensor:
        """x0 of samples start ... stop - 1."""
        source = self.dataset.source
        if (points := starts(source, self.dataset.held_out)) is not None:
            return points[start:stop].to(self.device)
        if source is None:
            return normal(self.dataset.shape, self.seed, "samples", start, stop, self.device)
        return per_sample(source.draw, self.seed, "samples", start, stop, self.device)

    def draw(self, way: Way, start: int, stop: int, net: CountedNetwork | None = None) -> tuple[Tensor, float]:
        """Samples start ... stop - 1 by a sampler, from the same noise by any, and their NFE.

        `net` is the network of the samples if they are not given what those of the dataset are.
        """
        net, x0 = net or self.network(start, stop), self.noise(start, stop)
        model = self.model_of(net)
        sampler = model.samplers[way] if isinstance(way, str) else way
        rng = generator(self.seed, f"{way}", start, x0.device)
        x = sampler.draw(model, x0, rng) if isinstance(sampler, Sampler) else sampler(x0, rng)
        return x, net.rows / (stop - start)

    def ways(self, solver: Solver, named: Mapping[str, Sampler] = NONE) -> dict[str, Way]:
        """Ways of drawing by name: the ODE's if there is a velocity, the model's own, and those that a suite names.

        The first is the headline row. UsageError if the model has none of the first two, or another of a name.
        """
        model = self.model(0, 1)
        found: dict[str, Way] = {solver.method: sampler_of(solver)} if model.velocity else {}
        found |= {name: name for name in model.samplers}
        if not found:
            raise UsageError(f"baseline {self.baseline.name}: its model has neither a velocity nor a sampler")
        # What is the same has one row, under the name by which any other model has it.
        further = {name: way for name, way in named.items() if way not in found.values()}
        for name, way in further.items():
            if model.samplers.get(name, way) != way:
                owner = f"the model of baseline {self.baseline.name}"
                raise UsageError(f"evaluation.samples.samplers: {owner} has another sampler of its own named {name!r}")
        return found | further

    def batches(self, name: str, way: Way, n: int, batch: int, unfinished: Unfinished | None = None) -> Iterator[Drawn]:
        """This rank's batches of n samples; those that `unfinished` has kept under `name` are not drawn again."""
        unfinished = unfinished or Unfinished()

        def make(start: int, stop: int) -> Arrays:
            begun, compiling = now(self.device), self.compilation.seconds
            with torch.no_grad(), self.compilation.drawing(stop - start):
                x, nfe = self.draw(way, start, stop)
            seconds = now(self.device) - begun - (self.compilation.seconds - compiling)
            kept = self.dataset.decode(torch.nan_to_num(x) if self.dataset.is_image else x)
            return {"x": kept.cpu().numpy(), "lost": lost(x), "nfe": nfe, "seconds": seconds}

        for start in ranks.mine(range(0, n, batch)):
            stop = min(start + batch, n)
            part = unfinished.once(f"{name}-{start}", make, start, stop)
            x = torch.from_numpy(part["x"])
            yield Drawn(start, x.to(self.device), float(part["nfe"]), float(part["seconds"]), int(part["lost"]))
