"""The parts of a cell's work, timed on an untrained network (bench/estimate/law.py).

What takes long is timed on few rows b of the B that there are, and B / b times as much is said to take as long.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from bench.config import components
from bench.config.sampling import further
from bench.config.settings import Likelihood, Samples, Training
from bench.config.suite import Run
from bench.datasets.base import Dataset
from bench.estimate.build import Untrained
from bench.estimate.law import Line
from bench.estimate.metrics import OfSamples
from bench.estimate.stopwatch import line, once, seconds
from bench.evaluation.clock import peak_memory, reset_peak_memory
from bench.evaluation.log_densities import in_model_space
from bench.evaluation.lost import costs_a_part
from bench.evaluation.quality import Judge
from bench.evaluation.routes import ByODE, Route, routes
from bench.evaluation.trained import Trained, Way
from bench.methods.baseline import Baseline
from bench.methods.ode import Solver
from bench.methods.sampler import Sampler
from bench.samplers.ode import Midpoint
from bench.training.precision import full_float32, in_training
from bench.training.rehearsal import Rehearsal
from bench.training.seeds import on_dataset
from bench.training.sparing import few
from bench.training.trainer import Trainer

SHORT, LONG = 1.0, 4.0  # seconds that may be spent twice, or once
RUNGS = (64, 16, 4, 1)  # of a batch one in so many is tried before all of it is


class Timed:
    """The parts of a run's work on a device; see `law.Parts`. What is wrong with the run is said here.

    Attributes:
        start: seconds before the first step.
        peak: bytes, of training steps and of what is evaluated.
        compiles: whether a step is timed as it is compiled.
        is_whole: whether a step was timed on its whole batch.
    """

    def __init__(
        self, run: Run, dataset: Dataset, make: Untrained, metrics: OfSamples, device: str, compiles: bool = True
    ) -> None:
        self.run, self.dataset, self.device, self.of_samples = run, dataset, device, metrics
        self.compiles = compiles and run.training.compile
        reset_peak_memory(device)
        components.check_data(run, dataset)
        self.start = once(lambda: self._begin(make), device)
        if self.start < SHORT:  # else what is imported at first is little of it
            self.start = once(lambda: self._begin(make), device)
        model = self.trained.model()
        self.is_image, self.is_flow = dataset.is_image, model.velocity is not None
        has_density = dataset.keeps_density and bool(model.log_prob or model.velocity)
        self.is_pictured = dataset.is_plane and has_density and not self.trained.is_conditional
        self.is_whole = True
        self._known: dict[tuple[str, int], Line] = {}
        self._long: dict[str, Line] = {}

    def _begin(self, make: Untrained) -> None:
        """What a run does before its first step."""
        run, dataset, device = self.run, self.dataset, self.device
        seed = on_dataset(run.seed, run.dataset)
        torch.manual_seed(seed)
        module = make.module(components.build_baseline(run.baseline)).to(device)
        method = cast(Baseline, module.method)
        trainer = Trainer(run.run_id, run.training, method, module, dataset, seed)
        judge = Judge(dataset, run.evaluation.samples or Samples(), make.data_dir, device, seed)
        Rehearsal(trainer, run, judge).of_method()
        self.method, self.module = method, module
        self.trained = Trained(method, trainer.average.frozen(), dataset, seed, device)

    @property
    def peak(self) -> int:
        return peak_memory(self.device)

    def step(self) -> tuple[float, float]:
        """Seconds of a training step, and the evaluations that it counts; what compiling takes is left out.

        A step that takes long is timed on a part of its batch.
        """
        training, rungs = self.run.training, list[tuple[int, float]]()
        with in_training(training.precision, self.device):
            for share in RUNGS:
                settings = part_of(training, share)
                trainer = self._trainer(settings.model_copy(update={"compile": False}))
                trainer.take_step()
                rungs.append((settings.batch, once(trainer.take_step, self.device)))
                if 4 * rungs[-1][1] > LONG:
                    break
            if self.compiles:
                trainer = self._trainer(settings)
                trainer.take_step()
            taken = seconds(trainer.take_step, self.device)
        self.is_whole = settings.batch == training.batch
        part = training.batch / settings.batch
        return taken * part ** order(rungs), trainer.net.rows / trainer.step * part

    def _trainer(self, settings: Training) -> Trainer:
        return Trainer(self.run.run_id, settings, self.method, self.module, self.dataset, self.trained.seed)

    def ways(self) -> list[Way]:
        samples = self.run.evaluation.samples or Samples()
        return list(self.trained.ways(Solver(**samples.solver.model_dump()), further(samples)).values())

    def evaluations(self, way: Way) -> float | None:
        model = self.trained.model()
        sampler = model.samplers[way] if isinstance(way, str) else way
        if not isinstance(sampler, Sampler):
            return self._counted(way)
        guided = model.guidance(sampler.guidance) if sampler.guidance != 1 and model.guidance else model
        if any(getattr(guided, need) is None for need in sampler.needs):
            return 0.0
        if hasattr(sampler, "rtol"):
            return None
        return self._counted(way)

    def _counted(self, way: Way) -> float:
        try:
            with few(self.trained.module, 1), torch.no_grad():
                return self.trained.draw(way, 0, 2)[1]
        except Exception as error:
            if not costs_a_part(error):
                raise
            return 0.0

    def tolerance(self, way: Way) -> float:
        sampler = self.trained.model().samplers[way] if isinstance(way, str) else way
        return float(cast(Any, sampler).rtol)

    def drawing(self, rows: int) -> Line:
        """By the midpoint rule; by the headline's way of a model without a velocity."""
        return self._once("draw", rows, lambda: self._drawing(rows))

    def density(self, route: Route, rows: int) -> Line:
        """By the midpoint rule, too, whatever solver the route has."""
        kind = route.metric if not isinstance(route, ByODE) else f"{route.own()['probes']}"
        what = f"density {kind}"
        return self._once(what, rows, lambda: self._density(what, route, rows))

    def _once(self, what: str, rows: int, measure: Callable[[], Line]) -> Line:
        if (what, rows) not in self._known:
            self._known[what, rows] = measure()
        return self._known[what, rows]

    def _drawing(self, rows: int) -> Line:
        if not self.is_flow:
            return self._own(rows)

        def draw(n: int, steps: int) -> Tensor:
            return self.trained.draw(Midpoint(steps=steps), 0, n)[0]

        start, step = self._line("draw", draw, rows)
        return start, step / 2

    def _own(self, rows: int) -> Line:
        way = self.ways()[0]
        evaluations = max(1.0, self._counted(way))
        shown = min(evaluations, 3.0)

        def draw(n: int, _: int) -> None:
            with few(self.trained.module, int(shown)):
                self.trained.draw(way, 0, n)

        taken = self._line("draw", draw, rows, more=1)[1]
        return 0.0, taken / shown

    def routes(self, config: Likelihood) -> list[Route]:
        if self.dataset.is_image and self.dataset.is_given:
            return []
        return routes(self.trained, config)

    def _density(self, what: str, route: Route, rows: int) -> Line:
        def log_p(n: int, steps: int) -> None:
            solver = Solver("midpoint", steps=steps)
            way = dataclasses.replace(route, solver=solver) if isinstance(route, ByODE) else route
            stored = test[torch.arange(n) % len(test)]  # a picture may have more points
            x = in_model_space(self.trained, stored.to(self.device), 0, 0)
            way.log_p(self.trained.network(0, n, held_out=True), x, 0, 0)

        of_ode, test = isinstance(route, ByODE), self.dataset.test
        try:
            start, each = self._line(what, log_p, rows, 5 if of_ode else 1)
        except Exception as error:
            if not costs_a_part(error):
                raise
            return 0.0, 0.0
        return (start, each / 2) if of_ode else (start + each, 0.0)

    def _line(self, what: str, work: Callable[[int, int], object], rows: int, more: int = 5) -> Line:
        """Seconds of work(rows, k) as a + b k, by a part of the rows if they take long."""
        if what in self._long:
            start, each = self._long[what]
            return start * rows, each * rows
        with full_float32(self.device), torch.no_grad():
            n, taken = 0, 0.0
            while n < rows and 8 * taken < SHORT:
                n = min(rows, max(2, 8 * n))
                work(n, 1)
                taken = once(partial(work, n, 1), self.device)
            start, each = line(partial(work, n), self.device, 1, more) if more > 1 else (0.0, taken)
        if n < rows:
            self._long[what] = start / n, each / n
        return start * rows / n, each * rows / n

    def metrics(self, stage: str, n: int) -> float:
        return self.of_samples.seconds(self.run.evaluation.samples or Samples(), stage, n)

    def coupling(self, n: int) -> float:
        dataset = self.dataset
        if dataset.is_image or dataset.is_given:
            return 0.0
        return self.of_samples.coupling(min(n, len(dataset.test)), self.trained.noise(0, n))

    def held_out(self, n: int) -> int:
        return min(n, len(self.dataset.test))


def part_of(training: Training, share: int) -> Training:
    """The training with one in `share` samples of its batch, in whole micro-batches."""
    micro, n = training.micro_batch or training.batch, max(1, training.batch // share)
    found = {"batch": n, "micro_batch": None} if n < micro else {"batch": n // micro * micro}
    return training.model_copy(update=found)


def order(rungs: Sequence[tuple[int, float]]) -> float:
    """Of the growth of seconds with samples, from the last two of (samples, seconds): 0 to 1, where they are few."""
    if len(rungs) < 2 or rungs[-1][0] == rungs[-2][0]:
        return 1.0
    (less, before), (more, after) = rungs[-2:]
    return min(max(math.log(after / before) / math.log(more / less), 0.0), 1.0)
