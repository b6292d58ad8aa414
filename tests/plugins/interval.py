"""Euler's method guided within an interval of time alone (Kynkaanniemi et al., NeurIPS 2024).

x <- x + h v_w(t, x) if low <= t < high, else x + h v(t, x),  v_w = v(., no c) + w (v(., c) - v(., no c)).

A step within costs two evaluations, and one outside one.
"""

from dataclasses import dataclass

from torch import linspace

from bench import Sampler, register_sampler


@register_sampler("guided_interval")
@dataclass(frozen=True)
class GuidedInterval(Sampler):
    needs = ("velocity", "guidance")
    steps: int = 20
    scale: float = 2.0
    low: float = 0.2
    high: float = 0.7

    def sample(self, model, x0, rng):
        plain, guided = model.velocity, model.guidance(self.scale).velocity
        times, x = linspace(0, model.t_end, self.steps + 1, device=x0.device, dtype=x0.dtype), x0
        for t, h in zip(times[:-1], times.diff(), strict=True):
            x = x + h * (guided if self.low <= t < self.high else plain)(t, x)
        return x
