"""One dry pass, before the first step, through everything that a run will ask of its method, network and features.

A rule that a plugin breaks is named in a line then, and not after hours of training. The pass takes few samples and an
untrained copy of the network, evaluates an expensive one a few times only, and leaves random streams and the network as
they were. A solve that diverges breaks no rule: the field of an untrained network may be rough.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import Diverged, UsageError, one_line
from bench.evaluation.likelihood import EXACT_DIMENSIONS
from bench.evaluation.quality import ImageQuality, Judge
from bench.evaluation.trained import Drawn, Trained
from bench.methods.baseline import Phase, losses
from bench.methods.batch import Batch, Context
from bench.methods.density import log_density, rademacher
from bench.methods.finite import lost
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.methods.sampler import Sampler
from bench.metrics.fidelity import LEAST
from bench.training.modules import copied
from bench.training.seeds import number

if TYPE_CHECKING:
    from bench.config.suite import Run
    from bench.training.trainer import Trainer

WORK = 2e8  # parameters times positions that a sampler's evaluations may cost, a fraction of a second
CALLS = (4, 1000)  # evaluations that it gets at least and at most


def rehearse(trainer: "Trainer", run: "Run", judge: Judge) -> None:
    """Try everything that the run will ask for.

    Raises:
        UsageError: a rule of the contract is broken; the message names it.
    """
    _Rehearsal(trainer, run, judge).pass_through()


class _Rehearsal:
    def __init__(self, trainer: "Trainer", run: "Run", judge: Judge) -> None:
        self.trainer, self.run, self.judge = trainer, run, judge
        self.baseline, self.dataset, self.device = trainer.baseline, trainer.dataset, trainer.device
        # Not as many as a sample has entries along an axis, so that no shape is right by accident.
        n = next(n for n in (2, 3, 5, 7) if n not in self.dataset.shape)
        self.n = min(n, len(self.dataset.train), len(self.dataset.test))
        self.method = f"baseline {run.baseline.name}"
        self.both = f"{self.method} with network {run.network.name}"
        self.rng = torch.Generator(self.device).manual_seed(number(trainer.seed, "rehearsal"))

    def pass_through(self) -> None:
        asked, training = self.run.evaluation, self.run.training
        with _streams_kept(self.device):
            module = self.trainer.evaluation_module()
            with self.rule(f"{self.method}: model(net)"):
                model = self.trained(module).model(0, self.n)
            if model.velocity:
                self.velocity(module)
            self.loss()
            if asked.samples:
                self.samplers(module)
            by_ode = model.velocity and not model.log_prob
            if by_ode and (asked.likelihood or training.curve_points) and not self.dataset.given:
                self.likelihood(module)
            if self.dataset.is_image and (asked.samples or asked.sweep or training.curve_points):
                self.features()

    def velocity(self, module: nn.Module) -> None:
        """f(t, x) has the shape and type of x and is finite, of some samples at least, at both ends and between."""
        trained = self.trained(module)
        answers: list[tuple[torch.Size, torch.Size]] = []
        hook = module.register_forward_hook(
            lambda _, given, answer: answers.append((given[1].shape, getattr(answer, "shape", torch.Size())))
        )
        x = trained.noise(0, self.n)
        with self.rule(f"{self.both}: velocity(net)(t, x)"), torch.no_grad():
            t_end = float(self.trained(module).model().t_end)
            self.require(0 < t_end < math.inf, f"{self.method}: t_end = {t_end}, not a positive time")
            f = trained.field(0, self.n)
            for t in (0.0, t_end / 2, t_end):
                v = f(torch.tensor(t, device=self.device), x)
                if answers and answers[-1][1] != x.shape and _said(v) != _said(x):
                    given, answer = map(tuple, answers[-1])
                    raise UsageError(
                        f"network {self.run.network.name}: it answers {answer} to x of {given}, "
                        f"and the velocity of {self.run.baseline.name} is then {_said(v)}, not {_said(x)}"
                    )
                self.require(_said(v) == _said(x), f"{self.both}: velocity at x of {_said(x)} is {_said(v)}")
                self.require(lost(v) < len(v), f"{self.both}: velocity at t = {t:g} is not finite")
        hook.remove()

    def loss(self) -> None:
        """One finite loss a sample, with a gradient to the network."""
        module, n = copied(self.trainer.module), self.n
        values = self.dataset.train[:n].to(self.device)
        given = self.dataset.given(values) if self.dataset.given else None
        net = CountedNetwork(module, given=given)
        with self.rule(f"{self.both}: loss(net, x1, rng) of {n} samples"):
            with self.trainer.autocast():
                loss = losses(
                    self.baseline, Phase(), net, Batch(self.dataset.dequantise(values, self.rng)), Context(self.rng)
                )
            fits = isinstance(loss, Tensor) and loss.shape == (n,)
            self.require(fits, f"{self.method}: loss of {n} samples is {_said(loss)}, not one a sample, ({n},)")
            self.require(bool(torch.isfinite(loss).all()), f"{self.both}: loss of {n} samples is not finite")
            self.require(loss.requires_grad, f"{self.method}: loss has no gradient to the network")
            loss.mean().backward()
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            self.require(bool(gradients), f"{self.method}: loss has no gradient to the network")
            finite = all(bool(torch.isfinite(g).all()) for g in gradients)
            self.require(finite, f"{self.both}: the gradient of the loss is not finite")

    def samplers(self, module: nn.Module) -> None:
        """Each has a name of its own and draws samples of the shape of its noise, some of them finite.

        The others will be counted when they are measured (bench/methods/finite.py).
        """
        solver = self.run.evaluation.samples and self.run.evaluation.samples.solver.method
        with self.rule(f"{self.method}: samplers(net)"):
            own = self.trained(module).model(0, self.n).samplers
            self.trained(module).ways(Solver())
        for name, sampler in own.items():
            what = f"{self.method}: sampler {name!r}"
            self.require(
                isinstance(sampler, Sampler) or callable(sampler),
                f"{what} is a {type(sampler).__name__}, not a Sampler",
            )
            self.require(isinstance(name, str) and name != solver, f"{what} has the name of the ODE's solver")
            sparing = _Sparing(module, self.calls())
            trained = self.trained(sparing)
            noise = trained.noise(0, self.n)
            with self.rule(f"{what} of {self.n} samples"), torch.no_grad():
                x = trained.native(name)(0, self.n)[0]
                self.require(_said(x) == _said(noise), f"{what} makes {_said(x)} of noise {_said(noise)}")
                finite = sparing.spared or lost(x) < len(x)
                self.require(finite, f"{what} draws samples that are not finite")

    def likelihood(self, module: nn.Module) -> None:
        """The velocity can be differentiated by x, which its divergence needs."""
        values = self.dataset.test[: self.n].to(self.device)
        x = self.dataset.dequantise(values, self.rng)
        asked = self.run.evaluation.likelihood
        exact = self.dataset.dim <= EXACT_DIMENSIONS and (asked is None or asked.divergence != "hutchinson")
        probes = None if exact else rademacher(x, self.rng)
        with self.rule(f"{self.both}: the divergence of velocity(net), which a likelihood needs"):
            log_density(
                self.trained(module).field(), x, self.trained(module).model().t_end, Solver("euler", steps=1), probes
            )

    def features(self) -> None:
        """The extractor takes the images of this dataset, and statistics can be made of what it gives."""
        extractor = self.dataset.extractor
        with self.rule(f"extractor {extractor}: features of {LEAST} images"):
            quality = self.judge.quality(LEAST, full=False)
            assert isinstance(quality, ImageQuality)
            stored = self.dataset.test[:LEAST]
            quality.add(Drawn(0, self.dataset.pixels(stored).to(self.device), 0.0, 0.0))
            said = quality.features.complaint
            self.require(said is None, f"extractor {extractor}: {said}")

    # What they share.

    def trained(self, module: nn.Module) -> Trained:
        return Trained(self.baseline, module, self.dataset, self.trainer.seed, self.device)

    def calls(self) -> int:
        """Evaluations of the network proper that a sampler gets."""
        positions = math.prod(self.dataset.shape[1:]) / 4 if self.dataset.is_image else 1
        parameters = sum(p.numel() for p in self.trainer.parameters)
        return int(max(CALLS[0], min(CALLS[1], WORK / (parameters * max(1.0, positions)))))

    @staticmethod
    def require(holds: bool, rule: str) -> None:
        if not holds:
            raise UsageError(rule)

    @contextmanager
    def rule(self, what: str) -> Iterator[None]:
        """Whatever else goes wrong within is said in one line, after `what` was tried."""
        try:
            yield
        except Diverged:
            return
        except (UsageError, MemoryError, OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise UsageError(f"{what}: {one_line(error)[:300]}") from error


class _Sparing(nn.Module):
    """A network that is evaluated so many times and then answers zeros, so that a thousand steps cost little."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.module, self.calls = module, calls
        self.spared = False
        self.shape: tuple[int, ...] = ()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        if self.calls:
            self.calls -= 1
            answer: Tensor = self.module(t, x)
            self.shape = tuple(answer.shape[1:])
            return answer
        self.spared = True
        return x.new_zeros(len(x), *self.shape)


@contextmanager
def _streams_kept(device: str) -> Iterator[None]:
    """Whatever is drawn within, the random numbers after it are those that would have come."""
    python, numbers = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if device.startswith("cuda") else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


def _said(values: object) -> str:
    """ "float32 (3, 2)": what a tensor is, or the type of anything else."""
    if not isinstance(values, Tensor):
        return type(values).__name__
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
