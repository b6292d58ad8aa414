"""A trained model in a notebook: `bench.load` of a run's folder, or of a file that --export wrote.

    import bench

    model = bench.load("results/quick/runs/RUN_ID")
    x = model.sample(64, sampler={"name": "euler", "steps": 20})
    print(model, model.nfe, model.log_prob(x).mean())
    v = model.velocity(0.5, x)
    frame = bench.frame("results")

Samples and what is asked of them are in data space; the velocity alone is of model space.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config import components
from bench.config.registry import load_plugin
from bench.config.sampling import build_sampler
from bench.config.settings import Component, Likelihood
from bench.config.suite import validated
from bench.datasets.source import starts
from bench.errors import UsageError
from bench.evaluation.log_densities import in_model_space
from bench.evaluation.routes import routes
from bench.evaluation.trained import Trained, Way
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.methods.sampler import Sampler
from bench.training import exported
from bench.training.exported import Exported
from bench.training.precision import full_float32
from bench.training.seeds import generator


def load(
    path: Path | str, device: str = "cpu", plugins: Sequence[str] = (), data_dir: Path | str | None = None
) -> "Loaded":
    """The model that a run has trained, with its averaged weights.

    Args:
        path: a run's folder (results/SUITE/runs/RUN_ID), or a file that `--export RUN_ID` wrote. A file needs no data
            set, unless that has a space or a source that is its own code, such as an autoencoder.
        device: "cpu" or "cuda".
        plugins: files or modules that register the method or network, if they are not of this project.
        data_dir: where data sets are, by default $BENCH_DATA, else "data".

    Raises:
        UsageError: there is no finished training, the file is another, or a plugin is needed, which it names.
    """
    for plugin in plugins:
        load_plugin(plugin)
    path, data = Path(path), Path(data_dir or os.environ.get("BENCH_DATA", "data"))
    found = exported.of_folder(path.resolve(), data) if path.is_dir() else exported.of_file(path, data)
    return Loaded(found, device)


class Loaded:
    """A trained model. Samples and their log-densities are in data space: float32 points, uint8 pixels of images.

    Attributes:
        run_id, baseline, dataset: their names.
        label: of the baseline, as tables have it.
        shape: of one sample in model space, (D,) or (C, H, W).
        classes: K if the network is told a class, else None.
        samplers: names of the ways that it has by itself, the default first.
        parameters: how many are trained.
        settings: the run's configuration, as its record has it, with all options of the baseline.
        facts: what else its record says: the commit, the versions of packages.
        nfe: evaluations of the network that a sample took in the last call.
    """

    def __init__(self, found: Exported, device: str = "cpu") -> None:
        self._found, self.device = found, device
        self._module = found.module.to(device)
        self._method = components.build_baseline(found.run.baseline)
        self.facts = {key: found.facts[key] for key in exported.FACTS}
        self.settings: dict[str, Any] = found.facts["config"]
        self.run_id, self.label = str(self.facts["run_id"]), str(self.facts["label"])
        self.baseline, self.dataset, self.shape = found.run.baseline.name, found.dataset.name, found.dataset.shape
        self.parameters = self.facts["parameters"]
        self.classes = found.dataset.classes if self._trained(0).has_classes else None
        self.samplers = tuple(self._trained(0).ways(Solver()))
        self.nfe = 0.0

    def __repr__(self) -> str:
        return f"<{self.label} on {self.dataset}: {self.parameters:,} parameters, run {self.run_id}>"

    def sample(
        self,
        n: int,
        sampler: str | Mapping[str, Any] | Sampler | None = None,
        labels: Any = None,
        given: Any = None,
        seed: int = 0,
        batch: int = 1000,
    ) -> Tensor:
        """n samples, on the CPU: float32 (n, D), or uint8 (n, C, H, W).

        Args:
            sampler: one of the model's own or a registered one, by name, with options as a table
                ({"name": "euler", "steps": 20}), or a bench.Sampler; by default dopri5 on the model's ODE, or its own
                sampler if it has none.
            labels: a class or n of them, -1 is none; by default each is drawn uniformly.
            given: what the samples are given, one or n of them, in model space.
            seed: sample i starts from the noise of (seed, i), as in a run of that seed.
            batch: samples that are drawn together.

        Raises:
            NotApplicable: the model lacks what the sampler needs; the message is the reason.
            UsageError: an unknown sampler or option, or labels or given that do not fit.
        """
        trained, way = self._trained(seed), self._way(sampler)
        points = starts(self._found.dataset.source, self._found.dataset.held_out)
        if n < 1 or batch < 1 or (points is not None and n > len(points)):
            most = "" if points is None else f", and n to {len(points)}, the points that samples start from"
            raise UsageError(f"sample: n = {n}, batch = {batch}: from 1 on{most}")
        told, condition = self._labels(labels, n, seed), self._given(given, n)
        found, evaluations = [], 0.0
        with torch.no_grad(), full_float32(self.device):
            for start in range(0, n, batch):
                stop = min(start + batch, n)
                net = self._network(told, condition, slice(start, stop))
                x, nfe = trained.draw(way, start, stop, net)
                data = self._found.dataset
                found.append(data.decode(torch.nan_to_num(x) if data.is_image else x).cpu())
                evaluations += nfe * (stop - start)
        self.nfe = evaluations / n
        return torch.cat(found)

    def log_prob(self, x: Any, labels: Any = None, given: Any = None, seed: int = 0, **settings: Any) -> Tensor:
        """log p(x) in nats, float64 (n,): the model's own density, or that of its ODE.

        Of points it is a density. Of pixels it is the probability of the image by one draw of uniform dequantisation,
        log p(2 (k + u) / L - 1) + d log(2 / L) with u ~ U[0, 1)^d, whose mean is a lower bound; -log_prob / (d log 2)
        are bits per dimension, as records have them.

        Args:
            x: (n, D) points, or uint8 (n, C, H, W) pixels.
            labels, given: as of `sample`; labels are needed if the network is told a class.
            seed: of the dequantisation and of the probes of an estimated divergence.
            settings: of evaluation.likelihood: solvers (the first counts), divergence, probes, batch.

        Raises:
            NotApplicable: the model has no density, or the data none that its space keeps; the message is the reason.
            Diverged: a solve failed.
            UsageError: x, labels or given that do not fit, or an unknown setting.
        """
        config: Likelihood = validated(Likelihood, settings, "log_prob")
        trained, data, stored = self._trained(seed), self._found.dataset, self._stored(x)
        if self.classes and labels is None:
            raise UsageError(f"log_prob: labels = None: one or {len(stored)} of the classes 0 to {self.classes - 1}")
        told, condition = self._labels(labels, len(stored), seed), self._given(given, len(stored))
        route, found, evaluations = routes(trained, config)[0], [], 0
        with full_float32(self.device):
            for start in range(0, len(stored), config.batch):
                rows = slice(start, min(start + config.batch, len(stored)))
                net = self._network(told, condition, rows)
                found.append(route.log_p(net, in_model_space(trained, stored[rows], 0, start), 0, start)[0])
                evaluations += net.rows
        self.nfe = evaluations / len(stored)
        bins = data.dim * math.log(2 / data.levels) if data.levels and data.space is None else 0.0
        return torch.cat(found).double().cpu() + data.log_volume + bins

    def velocity(self, t: Any, x: Tensor, labels: Any = None, given: Any = None) -> Tensor:
        """dx/dt at the time t in [0, 1], from noise to data, of x (n, ...) in model space; images are in [-1, 1] there.

        Raises:
            NotApplicable: the model has no velocity; the message is the reason.
            UsageError: labels or given that do not fit.
        """
        net = self._network(self._labels(labels, len(x), 0), self._given(given, len(x)), slice(None))
        field = self._trained(0).model_of(net).having("velocity")
        found: Tensor = field(torch.as_tensor(t, dtype=torch.float32, device=self.device), x.to(self.device))
        self.nfe = net.rows / len(x)
        return found

    def _trained(self, seed: int) -> Trained:
        return Trained(self._method, self._module, self._found.dataset, seed, self.device)

    def _network(self, labels: Tensor | None, given: Tensor | None, rows: slice) -> CountedNetwork:
        of_rows = [None if value is None else value[rows] for value in (labels, given)]
        return CountedNetwork(self._module, labels=of_rows[0], given=of_rows[1], memory=self._trained(0).memory)

    def _way(self, sampler: str | Mapping[str, Any] | Sampler | None) -> Way:
        own = self._trained(0).ways(Solver())
        if sampler is None or isinstance(sampler, Sampler):
            return sampler or next(iter(own.values()))
        if isinstance(sampler, str) and sampler in own:
            return own[sampler]
        component: Component = validated(Component, sampler, "sampler")
        return build_sampler(component)

    def _labels(self, labels: Any, n: int, seed: int) -> Tensor | None:
        """The class of each sample, int64 (n,), drawn for each of them unless it is said."""
        if self.classes is None:
            if labels is not None:
                raise UsageError(f"labels = {labels!r}: the network is told no class; leave them out")
            return None
        if labels is None:
            drawn = [torch.randint(self.classes, (), generator=generator(seed, "labels", i)) for i in range(n)]
            return torch.stack(drawn).to(self.device)
        found = torch.as_tensor(labels, dtype=torch.int64).to(self.device)
        if found.shape not in ((), (n,)) or not bool(((found >= -1) & (found < self.classes)).all()):
            raise UsageError(f"labels: one or {n} of the classes 0 to {self.classes - 1}, -1 is none")
        return found.expand(n)

    def _given(self, given: Any, n: int) -> Tensor | None:
        expected = components.about(self._found.dataset).given
        if expected is None or given is None:
            if expected is None and given is None:
                return None
            allowed = "leave it out" if expected is None else f"one or {n} of shape {expected} are needed"
            raise UsageError(f"given = {'None' if given is None else '...'}: {allowed}")
        found = torch.as_tensor(given, dtype=torch.float32, device=self.device)
        if found.shape not in (expected, (n, *expected)):
            raise UsageError(f"given: {tuple(found.shape)}; one or {n} of shape {expected} are needed")
        return found.expand(n, *expected)

    def _stored(self, x: Any) -> Tensor:
        """What a dataset would store of x; UsageError if it is none of its samples."""
        data, found = self._found.dataset, torch.as_tensor(x).to(self.device)
        kind = torch.uint8 if data.is_image else torch.float32
        found = found.to(kind) if not data.is_image else found
        if found.dtype != kind or not len(found) or found.shape[1:] != data.stored_shape:
            needed = ", ".join(["n", *map(str, data.stored_shape)])
            raise UsageError(f"x: {tuple(found.shape)} {found.dtype}; ({needed}) of {kind} are needed")
        if not data.is_image:
            return found
        assert data.levels
        levels = (found.float() * ((data.levels - 1) / 255)).round().to(torch.uint8)
        if not torch.equal(data.pixels(levels), found):
            raise UsageError(f"x: pixels of {data.levels} grey levels between 0 and 255 are needed")
        return levels
