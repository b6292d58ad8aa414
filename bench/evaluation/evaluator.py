"""What the stages of an evaluation share: a trained network, how its samples are drawn, and what that is quoted by.

Each part of a stage says what it measures before it does (bench/evaluation/parts.py).
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from bench.config.sampling import further
from bench.config.settings import Samples
from bench.evaluation.clock import Pace, peak_memory
from bench.evaluation.parts import Log
from bench.evaluation.pictures import Shown
from bench.evaluation.quality import Judge, Quality
from bench.evaluation.trained import Trained, Way
from bench.evaluation.unfinished import Unfinished
from bench.methods.ode import Solver
from bench.training import ranks
from bench.training.seeds import number

Settings = dict[str, Any]


class Evaluator:
    """Measures one trained network of a run; `weights`, "ema" or "raw", are quoted in the records."""

    def __init__(self, trained: Trained, judge: Judge, config: Samples, weights: str, log: Log) -> None:
        self.trained, self.judge, self.config, self.weights, self.log = trained, judge, config, weights, log
        self.dataset, self.baseline, self.device = trained.dataset, trained.baseline, trained.device
        self.solver = Solver(**config.solver.model_dump())

    def repeat(self, index: int) -> "Evaluator":
        """The same with the random numbers of a repeat; the first, 0, has those of the run."""
        if not index:
            return self
        seed = number(self.trained.seed, "repeat", index)
        return Evaluator(replace(self.trained, seed=seed), self.judge.again(seed), self.config, self.weights, self.log)

    @cached_property
    def ways(self) -> dict[str, Way]:
        return self.trained.ways(self.solver, further(self.config))

    @property
    def headline(self) -> str:
        """The way of the headline row, whose samples are shown and whose memory is measured."""
        return next(iter(self.ways))

    def drawn(
        self, name: str, way: Way, batch: int, quality: Quality, unfinished: Unfinished, shown: Shown | None = None
    ) -> tuple[float, float]:
        """Draw all samples of `quality`; their mean NFE, and the seconds of the rank that took longest."""
        n = quality.n
        evaluations = seconds = 0.0
        pace = Pace()
        with ranks.failing_together():
            for part in self.trained.batches(name, way, n, batch, unfinished):
                quality.add(part)
                if shown:
                    shown.add(part)
                evaluations += part.nfe * len(part.x)
                seconds += part.seconds
                if batch < n and pace.due():
                    self.log(f"samples {name}: {part.start + len(part.x)} of {n}, NFE {part.nfe:g}")
        total = ranks.total(torch.tensor([evaluations], dtype=torch.float64))
        return float(total) / n, ranks.agreed(seconds)[0]

    def drawing(self, way: Way, batch: int | None = None) -> Settings:
        """What every measurement of drawn samples quotes of how they were drawn, whichever stage drew them."""
        own = {"sampler": way} if isinstance(way, str) else way.quote(self.trained.model())
        return {**own, "batch": batch or self.config.batch, "weights": self.weights, **self.trained.labels()}

    def peak(self) -> float:
        """Bytes since the last reset, of the rank that took most."""
        return ranks.agreed(peak_memory(self.device))[0]
