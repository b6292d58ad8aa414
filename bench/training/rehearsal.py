"""One dry pass, before the first step, through everything that a run will ask of its method, network and features.

A rule that a plugin breaks is named in a line then, and not after hours of training. The pass takes few samples and an
untrained copy of the network, evaluates an expensive one a few times only, and leaves random streams and the network as
they were. A solve that diverges breaks no rule: the field of an untrained network may be rough.
"""

import math

import torch
from torch import Tensor, nn

from bench.config.suite import Run
from bench.errors import UsageError
from bench.evaluation.quality import Judge
from bench.evaluation.routes import EXACT_DIMENSIONS
from bench.evaluation.trained import Drawn, Trained
from bench.methods.density import log_density, rademacher
from bench.methods.finite import lost
from bench.methods.model import Model
from bench.methods.ode import Solver
from bench.methods.rules import require, rule, shown
from bench.methods.sampler import Sampler
from bench.metrics.extractors.reference import LEAST
from bench.training.seeds import STREAMS, is_taken
from bench.training.sparing import spared, sparing, streams_kept
from bench.training.trainer import Trainer
from bench.training.trial import Trial

WORK = 2e8  # parameters times positions that a sampler's evaluations may cost, a fraction of a second
CALLS = (4, 1000)  # evaluations that it gets at least and at most


def rehearse(trainer: Trainer, run: Run, judge: Judge) -> None:
    """Try everything that the run will ask for.

    Raises:
        UsageError: a rule of the contract is broken; the message names it.
    """
    _Rehearsal(trainer, run, judge).pass_through()


class _Rehearsal(Trial):
    def __init__(self, trainer: Trainer, run: Run, judge: Judge) -> None:
        super().__init__(trainer, run)
        self.judge = judge

    def pass_through(self) -> None:
        config, training = self.run.evaluation, self.run.training
        with streams_kept(self.device):
            module = self.trainer.evaluation_module()
            model = self.model(module)
            if model.velocity or model.score:
                self.field(module, "velocity" if model.velocity else "score")
            self.phases(module)
            for capability in ("log_prob", "bound"):
                if getattr(model, capability):
                    self.density(module, capability)
            if config.samples:
                self.samplers(module)
            by_ode = model.velocity and not model.log_prob and self.dataset.keeps_density
            if by_ode and (config.likelihood or training.curve_points):
                self.likelihood(module)
            if self.dataset.is_image and (config.samples or config.sweep or training.curve_points):
                self.features()

    def model(self, module: nn.Module) -> Model:
        """A Model that can be drawn from."""
        with rule(f"{self.method}: model(net)"):
            found: object = self.baseline.model(self.trained(module).network(0, self.n))
            fits = isinstance(found, Model)
            require(fits, f"{self.method}: model(net) is a {type(found).__name__}, not a bench.Model")
            self.trained(module).ways(Solver())
            return self.trained(module).model(0, self.n)

    def field(self, module: nn.Module, capability: str) -> None:
        """(t, x) -> a tensor like x, finite for some samples; a velocity also at both ends, a score half-way."""
        answers: list[tuple[torch.Size, torch.Size]] = []
        hook = module.register_forward_hook(
            lambda _, given, answer: answers.append((given[-1].shape, getattr(answer, "shape", torch.Size())))
        )
        x = self.trained(module).noise(0, self.n)
        with rule(f"{self.both}: {capability}(t, x)"), torch.no_grad():
            model = self.trained(module).model(0, self.n)
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

    def density(self, module: nn.Module, capability: str) -> None:
        """One log-density per sample in nats, of which some are finite."""
        x, what = self.test(), f"{self.both}: {capability}(x{', rng' if capability == 'bound' else ''})"
        with rule(f"{what} of {self.n} samples"), torch.no_grad():
            density = self.of_test(module).having(capability)
            value = density(x, self.rng) if capability == "bound" else density(x)
            fits = isinstance(value, Tensor) and value.shape == (self.n,)
            require(fits, f"{what} of {self.n} samples is {shown(value)}, not one per sample, ({self.n},)")
            require(lost(value) < self.n, f"{what} of {self.n} samples is not finite")

    def samplers(self, module: nn.Module) -> None:
        """Each has a name of its own and draws samples of the shape of its noise, some of them finite.

        The others will be counted when they are measured (bench/methods/finite.py).
        """
        solver = self.run.evaluation.samples and self.run.evaluation.samples.solver.method
        for name, sampler in self.trained(module).model(0, self.n).samplers.items():
            what = f"{self.method}: sampler {name!r}"
            draws = isinstance(sampler, Sampler) or callable(sampler)
            require(draws, f"{what} is a {type(sampler).__name__}, not a Sampler")
            require(isinstance(name, str) and name != solver, f"{what} has the name of the ODE's solver")
            require(not is_taken(name), f"{what} has the name of a stream of random numbers ({', '.join(STREAMS)})")
            few = sparing(module, self.calls())
            trained, noise = self.trained(few), self.trained(few).noise(0, self.n)
            with rule(f"{what} of {self.n} samples"), torch.no_grad():
                x = trained.draw(name, 0, self.n)[0]
                require(shown(x) == shown(noise), f"{what} makes {shown(x)} of noise {shown(noise)}")
                finite = spared(few) or lost(x) < len(x)
                require(finite, f"{what} draws samples that are not finite")

    def likelihood(self, module: nn.Module) -> None:
        """The velocity can be differentiated by x, which its divergence needs."""
        x, config = self.test(), self.run.evaluation.likelihood
        exact = self.dataset.dim <= EXACT_DIMENSIONS and (config is None or config.divergence != "hutchinson")
        probes = None if exact else rademacher(x, self.rng)
        with rule(f"{self.both}: the divergence of velocity(net), which a likelihood needs"):
            model = self.of_test(module)
            log_density(model.having("velocity"), x, model.t_end, Solver("euler", steps=1), probes)

    def features(self) -> None:
        """The extractor takes the images of this dataset, and statistics can be made of what it gives."""
        extractor = self.dataset.extractor
        with rule(f"extractor {extractor}: features of {LEAST} images"):
            quality = self.judge.quality(LEAST)
            stored = self.dataset.test[:LEAST]
            quality.add(Drawn(0, self.dataset.pixels(stored).to(self.device), 0.0, 0.0))
            if features := quality.collected.get("features"):
                lacking = features.complaint(features.of(quality.metrics[0])[0])
                require(lacking is None, f"extractor {extractor}: {lacking}")

    # What they share.

    def trained(self, module: nn.Module) -> Trained:
        return Trained(self.baseline, module, self.dataset, self.trainer.seed, self.device)

    def of_test(self, module: nn.Module) -> Model:
        """What the network can do for test samples."""
        return self.trained(module).model_of(self.trained(module).network(0, self.n, held_out=True))

    def test(self) -> Tensor:
        """Test samples in model space."""
        return self.dataset.encode(self.dataset.test[: self.n].to(self.device), self.rng)

    def calls(self) -> int:
        """Evaluations of the network proper that a sampler gets."""
        positions = math.prod(self.dataset.shape[1:]) / 4 if self.dataset.is_image else 1
        parameters = sum(p.numel() for p in self.trainer.parameters)
        return int(max(CALLS[0], min(CALLS[1], WORK / (parameters * max(1.0, positions)))))
