"""The one training loop: every baseline is trained by it, for a budget of steps or seconds.

    theta <- Adam(theta, grad mean_b loss_b),    theta_ema <- theta_ema + (1 - d) (theta - theta_ema)

with d = min(ema, (1 + step) / (10 + step)). The clock counts training steps alone, no validation, no checkpoint, and
goes on after a restart. On the CPU a run that was killed and resumed ends bit for bit where an uninterrupted one does:
a checkpoint holds the weights, their average, the optimiser's moments, every random state and the clock.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.baseline import Baseline, CountedNetwork
from bench.datasets.base import Dataset
from bench.errors import Diverged
from bench.files import write_atomic
from bench.metrics.clock import now
from bench.preemption import at_boundary
from bench.records import Measurement
from bench.suite import Training

CHECK_EVERY = 50  # steps between looks at the loss: reading it waits for the device

Report = Callable[[str], None]


class Trainer:
    """A module in training, with everything that a checkpoint must hold."""

    def __init__(
        self,
        identity: str,
        settings: Training,
        baseline: Baseline,
        module: nn.Module,
        dataset: Dataset,
        seed: int,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.baseline = baseline
        self.module = module
        self.device = str(next(module.parameters()).device)
        self.dataset = dataset
        self.data = dataset.train.to(self.device)
        self.net = CountedNetwork(module, settings.compile)
        self.parameters: list[Tensor] = list(module.parameters())
        self.average = [p.detach().clone() for p in self.parameters] if settings.ema else self.parameters
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
        self.optimizer = optimizer(self.parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.step = 0
        self.seconds = 0.0
        self.loss = math.nan
        self.recent = torch.zeros((), device=self.device)  # sum of the losses since the last look at them
        self.recent_steps = 0
        self.curve: list[Measurement] = []

    @property
    def progress(self) -> float:
        """Share of the budget that is spent: of the steps or of the seconds, whichever is further."""
        by_steps = self.step / self.settings.steps if self.settings.steps else 0.0
        by_seconds = self.seconds / self.settings.seconds if self.settings.seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up over the first steps times the decay from 1 at the start to 0 at the end of the budget."""
        s = self.settings
        warm = min(1.0, (self.step + 1) / s.warmup) if s.warmup else 1.0
        decay = {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}
        return s.lr * warm * decay[s.decay]

    def take_step(self) -> Tensor:
        """One update; returns the batch's mean loss, still on the device."""
        s = self.settings
        index = torch.randint(len(self.data), (s.batch,), generator=self.rng, device=self.device)
        x1 = self.dataset.dequantise(self.data[index], self.rng)
        if s.precision == "bf16":
            with torch.autocast(self.device.split(":")[0], torch.bfloat16):
                loss = self.baseline.loss(self.net, x1, self.rng).mean()
        else:
            loss = self.baseline.loss(self.net, x1, self.rng).mean()
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        if s.clip:
            nn.utils.clip_grad_norm_(self.parameters, s.clip)
        if s.warmup or s.decay != "constant":
            rate = self.learning_rate(self.progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self.optimizer.step()
        if s.ema:
            decay = min(s.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        self.step += 1
        return loss.detach()

    def fit(self, checkpoint: Path, validate: Callable[[nn.Module], list[Measurement]], report: Report) -> None:
        """Train to the end of the budget, validating at shares 1, 1/2, 1/4, ... of it and saving to `checkpoint`.

        Raises:
            Diverged: the loss stopped being finite.
        """
        marks = [2.0**-k for k in reversed(range(self.settings.curve_points))]
        marks = [m for m in marks if m > self.progress]
        saved = time.monotonic()
        with at_boundary(lambda: self.save(checkpoint)) as between_steps:
            begun = now(self.device) - self.seconds
            while self.progress < 1:
                self.recent += self.take_step()
                self.recent_steps += 1
                self.seconds = time.perf_counter() - begun
                at_mark = bool(marks) and self.progress >= marks[0]
                if self.recent_steps == CHECK_EVERY or at_mark or self.progress >= 1:
                    self.loss = float(self.recent) / self.recent_steps
                    self.seconds = now(self.device) - begun
                    if not math.isfinite(self.loss):
                        raise Diverged(f"the loss is {self.loss} at step {self.step}")
                    self.recent.zero_()
                    self.recent_steps = 0
                    report(f"train {self._position()} loss {self.loss:.4g}")
                if at_mark:
                    marks = [m for m in marks if m > self.progress]
                    self._validate(validate)
                if at_mark or time.monotonic() - saved > self.settings.checkpoint_seconds:
                    self.save(checkpoint)
                    saved = time.monotonic()
                    begun = now(self.device) - self.seconds
                between_steps()
            self.save(checkpoint)

    def _position(self) -> str:
        if self.settings.steps:
            return f"{self.step}/{self.settings.steps}"
        return f"{self.step} ({self.seconds:.0f}/{self.settings.seconds:.0f} s)"

    def _validate(self, validate: Callable[[nn.Module], list[Measurement]]) -> None:
        where = {
            "curve": True,
            "step": self.step,
            "train_seconds": self.seconds,
            "nfe_training": self.net.nfe,
        }
        for m in validate(self.evaluation_module()):
            self.curve.append(Measurement(m.metric, m.value, m.stderr, m.n, m.seconds, {**m.settings, **where}))

    def evaluation_module(self) -> nn.Module:
        """A copy with the averaged weights, frozen: what every metric is measured on."""
        module = copy.deepcopy(self.module).eval().requires_grad_(False)
        with torch.no_grad():
            for parameter, average in zip(module.parameters(), self.average, strict=True):
                parameter.copy_(average)
        return module

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and strings only."""
        cuda = self.device.startswith("cuda")
        return {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "recent": self.recent,
            "recent_steps": self.recent_steps,
            "nfe": self.net.nfe,
            "curve": json.dumps([asdict(m) for m in self.curve]),
            "rng": self.rng.get_state(),
            "global_rng": torch.cuda.get_rng_state() if cuda else torch.get_rng_state(),
            "module": self.module.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        write_atomic(path, lambda temporary: torch.save(self.state(), temporary))

    def restore(self, path: Path, report: Report) -> bool:
        """Go on from a checkpoint, if there is one of this very run; an unreadable one is set aside, and said so."""
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["identity"] != self.identity:
                raise ValueError(f"it belongs to {state['identity']}")
            if lacking := self.state().keys() - state.keys():
                raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
        except Exception as error:  # whatever a truncated or foreign file makes torch raise
            aside = path.with_suffix(".corrupt")
            path.replace(aside)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            report(f"checkpoint {path.name} cannot be used ({reason}); kept as {aside.name}, training begins again")
            return False
        self.module.load_state_dict(state["module"])
        with torch.no_grad():
            for mine, stored in zip(self.average, state["average"], strict=True):
                mine.copy_(stored)
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"].cpu())
        (torch.cuda if self.device.startswith("cuda") else torch).set_rng_state(state["global_rng"].cpu())
        self.step, self.seconds, self.loss = state["step"], state["seconds"], state["loss"]
        self.recent.copy_(state["recent"])
        self.recent_steps = state["recent_steps"]
        self.net.nfe = state["nfe"]
        self.curve = [Measurement(**m) for m in json.loads(state["curve"])]
        report(f"resumed at step {self.step}")
        return True
