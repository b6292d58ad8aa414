"""A trained model in a notebook: `bench.load` of a run's folder, or of a file that --export wrote.

    import bench

    model = bench.load("results/quick/runs/RUN_ID")
    x = model.sample(64, sampler={"name": "euler", "steps": 20})
    print(model, model.nfe, model.log_prob(x).mean())
    v = model.velocity(0.5, model.encode(x))
    frame = bench.frame("results")

Samples and what is asked of them are in data space; the velocity alone is of model space, which `encode` leads to.
"""

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.registry import load_plugin
from bench.config.sampling import build_sampler
from bench.config.settings import Component, listed
from bench.config.validated import validated
from bench.datasets.source import starts
from bench.errors import UsageError
from bench.evaluation import asked
from bench.evaluation.log_densities import in_model_space
from bench.evaluation.routes import routes
from bench.evaluation.trained import Trained, Way
from bench.methods.finite import all_finite
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.methods.sampler import Sampler
from bench.training import exported
from bench.training.exported import Exported
from bench.training.precision import full_float32
from bench.training.seeds import on_dataset


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

    A warning says it if its training is stale: by older code than what it is loaded into, of other inputs, or of a
    teacher that is.

    Raises:
        UsageError: there is no finished training, the file is another, or a plugin is needed, which it names.
    """
    device = asked.device_here(device)
    for plugin in listed(plugins):
        load_plugin(plugin)
    path, data = Path(path), Path(data_dir or os.environ.get("BENCH_DATA", "data"))
    found = exported.of_folder(path.resolve(), data) if path.is_dir() else exported.of_file(path, data)
    if found.stale:
        warnings.warn(f"{found.facts['run_id']}: its training is stale: {found.stale}", stacklevel=2)
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
        self._method: Any = found.module.method
        self.facts = {key: found.facts.get(key) for key in exported.FACTS}
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
                ({"name": "euler", "steps": 20}), or a bench.Sampler; by default dormand_prince on the model's ODE, or
                its own sampler if it has none.
            labels: a class or n of them, -1 is none; by default each is drawn uniformly.
            given: what the samples are given, one or n of them, in model space.
            seed: sample i starts from the same noise as in a run of that seed on the same dataset.
            batch: samples that are drawn together.

        Raises:
            NotApplicable: the model lacks what the sampler needs; the message is the reason.
            Diverged: a solve failed, or images of a batch are not finite; the message counts them.
            UsageError: n, batch or seed is no whole number or too small, an unknown sampler or option, or labels or
                given that do not fit.
        """
        trained, way, data = self._trained(seed), self._way(sampler), self._found.dataset
        points = starts(data.source, data.held_out)
        most = asked.MOST if points is None else len(points)
        n = asked.whole("sample: n", n, 1, most, ", the points that samples start from")
        batch = asked.whole("sample: batch", batch)
        told, condition = self._told(labels, given, n, trained.seed)
        found, evaluations = [], 0.0
        with torch.no_grad(), full_float32(self.device):
            for start in range(0, n, batch):
                stop = min(start + batch, n)
                net = self._network(told, condition, slice(start, stop))
                x, nfe = trained.draw(way, start, stop, net)
                # Pixels have no NaN: what a space makes of one would look like any image.
                found.append(data.decode(all_finite(x) if data.is_image else x).cpu())
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
        config, data = asked.likelihood(settings), self._found.dataset
        trained, stored = self._trained(seed), asked.stored(data, x, self.device)
        if self.classes and labels is None:
            raise UsageError(f"log_prob: labels = None: one or {len(stored)} of the classes 0 to {self.classes - 1}")
        told, condition = self._told(labels, given, len(stored), trained.seed)
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

    def encode(self, x: Any) -> Tensor:
        """Data space to model space, (n, ...) on the device: pixels at the centre of their bins, points scaled.

        Raises:
            UsageError: x does not fit.
        """
        return self._found.dataset.encode(asked.stored(self._found.dataset, x, self.device))

    def velocity(self, t: Any, x: Any, labels: Any = None, given: Any = None) -> Tensor:
        """dx/dt at the time t, from noise at 0 to data at 1, of x (n, ...) in model space; images are in [-1, 1] there.

        A model whose ODE ends before 1 takes no later t. Products are of full float32, as in `sample`.

        Raises:
            NotApplicable: the model has no velocity; the message is the reason.
            UsageError: t, x, labels or given that do not fit.
        """
        x = asked.state(self._found.dataset, x, self.device)
        trained = self._trained(0)
        net = self._network(*self._told(labels, given, len(x), trained.seed), slice(None))
        model = trained.model_of(net)
        field = model.having("velocity")
        with full_float32(self.device):
            found: Tensor = field(asked.time(t, len(x), model.t_end, self.device), x)
        self.nfe = net.rows / len(x)
        return found

    def _told(self, labels: Any, given: Any, n: int, seed: int) -> tuple[Tensor | None, Tensor | None]:
        told = asked.labels(self.classes, labels, n, seed, self.device)
        return told, asked.given(self._found.dataset, given, n, self.device)

    def _trained(self, seed: int) -> Trained:
        asked.whole("seed", seed, 0)
        own = on_dataset(seed, self._found.run.dataset)
        return Trained(self._method, self._module, self._found.dataset, own, self.device)

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
