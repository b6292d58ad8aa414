"""One dry pass, before the first step, through everything that a run will ask of its method, network and features.

A rule that a plugin breaks is named in a line then, and not after hours of training. The pass takes few samples and an
untrained copy of the network, evaluates an expensive one a few times only, and leaves random streams and the network as
they were. A solve that diverges breaks no rule: the field of an untrained network may be rough. Nor does what is not
applicable.
"""

import inspect
import math

import torch
from torch import Tensor, nn

from bench.config.sampling import further, swept
from bench.config.settings import Likelihood, Solve
from bench.config.suite import Run
from bench.datasets.source import Draws
from bench.errors import UsageError
from bench.evaluation.quality import Judge
from bench.evaluation.routes import ByODE, routes
from bench.evaluation.trained import Drawn, Trained, Way
from bench.methods.baseline import is_plain, losses
from bench.methods.batch import Batch, Context
from bench.methods.finite import lost
from bench.methods.model import Model
from bench.methods.network import CountedNetwork
from bench.methods.ode import ADAPTIVE, EVALUATIONS_A_STEP, Solver
from bench.methods.rules import require, rule, shown, tried
from bench.methods.sampler import Sampler
from bench.metrics.extractors.named import extractors
from bench.metrics.extractors.reference import LEAST
from bench.training.modules import copied
from bench.training.optimiser import Update
from bench.training.seeds import STREAMS, is_taken, number
from bench.training.sparing import few, streams_kept
from bench.training.trainer import Trainer

WORK = 2e8  # parameters times positions that a sampler's evaluations may cost, a fraction of a second
LATE = 0.999  # of the budget, where a loss that goes by it may do what it does not at the start
CALLS = (4, 1000)  # evaluations that it gets at least and at most


class Rehearsal:
    """The dry pass of one run.

    Attributes:
        n: samples; not as many as one has entries along an axis, so that no shape is right by accident.
        method, both: the baseline, and the baseline with its network, for messages.
        module: a copy of the network with the averaged weights.
    """

    def __init__(self, trainer: Trainer, run: Run, judge: Judge) -> None:
        self.trainer, self.run, self.judge = trainer, run, judge
        self.baseline, self.dataset, self.device = trainer.baseline, trainer.dataset, trainer.device
        n = next(n for n in (2, 3, 5, 7) if n not in self.dataset.shape)
        self.n = min(n, len(self.dataset.train), len(self.dataset.test))
        self.method = f"baseline {run.baseline.name}"
        self.both = f"{self.method} with network {run.network.name}"
        self.rng = Draws(self.device)
        self.rng.source = self.dataset.source
        self.rng.manual_seed(number(trainer.seed, "rehearsal"))
        self.module = trainer.average.frozen()
        self.trained = Trained(self.baseline, self.module, self.dataset, trainer.seed, self.device)

    def pass_through(self) -> None:
        config = self.run.evaluation
        self.samplers(self.of_method())
        if self.dataset.is_image and (config.samples or config.sweep or self.run.training.curve_points):
            self.features()

    def of_method(self) -> Model:
        """All but samplers and features; its Model."""
        model = self.model()
        if model.velocity or model.score:
            self.field("velocity" if model.velocity else "score")
        self.phases()
        self.densities()
        return model

    def model(self) -> Model:
        """A Model that can be drawn from."""
        with rule(f"{self.method}: model(net)"):
            found: object = self.baseline.model(self.trained.network(0, self.n))
            fits = isinstance(found, Model)
            require(fits, f"{self.method}: model(net) is a {type(found).__name__}, not a bench.Model")
            told = self.trained.has_classes or not getattr(self.baseline, "labels", False)
            require(told, f"{self.method}: labels = true, yet its build passes no **self.inputs(data) to make.network")
            samples = self.run.evaluation.samples
            self.trained.ways(Solver(), further(samples) if samples else {})
            return self.trained.model(0, self.n)

    def field(self, capability: str) -> None:
        """(t, x) -> a tensor like x, finite for some samples; a velocity also at both ends, a score half-way."""
        answers: list[tuple[torch.Size, torch.Size]] = []
        hook = self.module.register_forward_hook(
            lambda _, inputs, answer: answers.append((inputs[-1].shape, getattr(answer, "shape", torch.Size())))
        )
        x = self.trained.noise(0, self.n)
        with tried(f"{self.both}: {capability}(t, x)"), torch.no_grad():
            model = self.trained.model(0, self.n)
            end = float(model.t_end)
            require(0 < end < math.inf, f"{self.method}: t_end = {end}, not a positive time")
            for t in (0.0, end / 2, end) if capability == "velocity" else (end / 2,):
                value = model.having(capability)(torch.tensor(t, device=self.device), x)
                if answers and answers[-1][1] != x.shape and shown(value) != shown(x):
                    given, answer = map(tuple, answers[-1])
                    raise UsageError(
                        f"network {self.run.network.name}: it answers {answer} to x of {given}, "
                        f"and the {capability} of {self.run.baseline.name} is then {shown(value)}, not {shown(x)}"
                    )
                require(shown(value) == shown(x), f"{self.both}: {capability} at x of {shown(x)} is {shown(value)}")
                require(lost(value) < len(value), f"{self.both}: {capability} at t = {t:g} is not finite")
        hook.remove()

    def phases(self) -> None:
        """Each phase trains what it names, and together they train all that is not frozen."""
        trainer = self.trainer
        trained = {id(p) for update in trainer.updates for p in update.parameters}
        for name, p in trainer.module.named_parameters():
            part = f"part {name.split('.')[0]!r}" if isinstance(trainer.module, nn.ModuleDict) else name
            require(
                not p.requires_grad or id(p) in trained,
                f"{self.method}: no phase trains {part}; give it a bench.Phase, or freeze it by requires_grad_(False)",
            )
        module = copied(trainer.module)
        own = {id(p): copy for p, copy in zip(trainer.parameters, module.parameters(), strict=True)}
        rows = 0
        for update in trainer.updates:
            for progress in (0.0,) if is_plain(self.baseline, update.phase) else (0.0, LATE):
                module.zero_grad(set_to_none=True)
                rows += self.loss(update, module, [own[id(p)] for p in update.parameters], progress)
        if budget := trainer.settings.evaluations:
            counts = f"{self.method}: no loss calls net, so training.evaluations = {budget} would never be spent"
            require(rows > 0, counts)

    def loss(self, update: Update, module: nn.Module, parameters: list[Tensor], progress: float) -> int:
        """One finite loss per sample, with a gradient to what the phase trains; the rows that it had evaluated."""
        n, data, name = self.n, self.dataset, update.phase.loss
        values = data.train[:n].to(self.device)
        labels = None if data.train_labels is None else data.train_labels[:n].to(self.device)
        given = data.given_of("train", slice(n), self.device)
        batch = Batch(data.encode(values, self.rng), labels, given, torch.arange(n, device=self.device))
        told = self.baseline.tell(labels, self.rng)
        net = CountedNetwork(module, given=given, labels=told)
        average = CountedNetwork(self.module, given=given, labels=told, gradients=False)
        signature = ", ".join(inspect.signature(getattr(self.baseline, name)).parameters)
        to = "the network" if update.whole else f"part {update.phase.part!r}"
        late = f" at {progress:.1%} of the budget" if progress else ""
        with tried(f"{self.both}: {name}({signature}) of {n} samples{late}"):
            with self.trainer.autocast():
                loss = losses(self.baseline, update.phase, net, batch, Context(self.rng, 0, progress, lambda: average))
            fits = isinstance(loss, Tensor) and loss.shape == (n,)
            require(fits, f"{self.method}: {name} of {n} samples is {shown(loss)}, not one a sample, ({n},)")
            require(bool(torch.isfinite(loss).all()), f"{self.both}: {name} of {n} samples is not finite{late}")
            require(loss.requires_grad, f"{self.method}: {name} has no gradient to {to}")
            loss.mean().backward()
            gradients = [p.grad for p in parameters if p.grad is not None]
            require(bool(gradients), f"{self.method}: {name} has no gradient to {to}")
            finite = all(bool(torch.isfinite(g).all()) for g in gradients)
            require(finite, f"{self.both}: the gradient of {name} is not finite")
        return net.rows

    def densities(self) -> None:
        """One log-density per sample in nats, some of them finite; an ODE's also asks for the velocity's divergence."""
        settings, calls = self.run.evaluation.likelihood, {"own": "log_prob(x)", "bound": "bound(x, rng)"}
        config = (settings or Likelihood()).model_copy(update={"solvers": (Solve(method="euler", steps=1),)})
        for route in routes(self.trained, config):
            of_ode = isinstance(route, ByODE)
            if of_ode and not (self.dataset.keeps_density and (settings or self.run.training.curve_points)):
                continue
            what = calls.get(route.own().get("density", ""), "the divergence of velocity(net)")
            what = f"{self.both}: {what} of {self.n} samples"
            net = self.trained.network(0, self.n, held_out=True)
            x = self.dataset.encode(self.dataset.test[: self.n].to(self.device), self.rng)
            with tried(what):
                value, _ = route.log_p(net, x, 0, 0)
                fits = isinstance(value, Tensor) and value.shape == (self.n,)
                require(fits, f"{what} is {shown(value)}, not one per sample, ({self.n},)")
                require(of_ode or lost(value) < self.n, f"{what} is not finite")

    def samplers(self, model: Model) -> None:
        """The method's own have names of their own, and those that the suite names are tried as well.

        One of the ODE asks for nothing but the velocity, which was tried.
        """
        config = self.run.evaluation
        if config.samples:
            for name, sampler in model.samplers.items():
                what = f"{self.method}: sampler {name!r}"
                draws = isinstance(sampler, Sampler) or callable(sampler)
                require(draws, f"{what} is a {type(sampler).__name__}, not a Sampler")
                of_solver = name == config.samples.solver.method
                require(isinstance(name, str) and not of_solver, f"{what} has the name of the ODE's solver")
                self.sampler(name, name)
        named = [*swept(config.sweep)] if config.sweep else []
        named += further(config.samples).values() if config.samples else ()
        for name, sampler in {sampler.label: sampler for sampler in named}.items():
            if name not in (*ADAPTIVE, *EVALUATIONS_A_STEP):
                self.sampler(name, sampler)

    def sampler(self, name: str, way: Way) -> None:
        """It draws samples of the shape of its noise, some of them finite if no evaluation was spared.

        The others will be counted when they are measured (bench/methods/finite.py).
        """
        what = f"{self.method}: sampler {name!r}"
        require(not is_taken(name), f"{what} has the name of a stream of random numbers ({', '.join(STREAMS)})")
        noise = self.trained.noise(0, self.n)
        with few(self.module, self.calls()) as spared, tried(f"{what} of {self.n} samples"), torch.no_grad():
            x = self.trained.draw(way, 0, self.n)[0]
            require(shown(x) == shown(noise), f"{what} makes {shown(x)} of noise {shown(noise)}")
            require(bool(spared) or lost(x) < len(x), f"{what} draws samples that are not finite")

    def features(self) -> None:
        """The extractors take the images of this dataset, and statistics can be made of what they give."""
        named = [by.name for by in extractors(self.judge.settings, self.dataset)]
        with tried(f"extractor {', '.join(named)}: features of {LEAST} images"):
            quality = self.judge.quality(LEAST)
            stored = self.dataset.test[:LEAST]
            quality.add(Drawn(0, self.dataset.pixels(stored).to(self.device), 0.0, 0.0))
            for features in quality.collected.get("features", ()):
                lacking = features.complaint(features.of(quality.metrics[0])[0])
                require(lacking is None, f"extractor {features.extractor}: {lacking}")

    def calls(self) -> int:
        """Evaluations of the network proper that a sampler gets."""
        positions = math.prod(self.dataset.shape[1:]) / 4 if self.dataset.is_image else 1
        parameters = sum(p.numel() for p in self.trainer.parameters)
        return int(max(CALLS[0], min(CALLS[1], WORK / (parameters * max(1.0, positions)))))


def rehearse(trainer: Trainer, run: Run, judge: Judge) -> None:
    """Try everything that the run will ask for; UsageError if a rule of the contract is broken, which it names."""
    with streams_kept(trainer.device):
        Rehearsal(trainer, run, judge).pass_through()
