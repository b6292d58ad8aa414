"""Our training loop against the one that an expert would write for flow matching alone, bare of everything else.

Before they are timed both take a few steps with the same batches, times and noise, and must end at the same weights.
"""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from compare import Row, calls, compare
from torch import Tensor, nn

from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.training.seeds import number
from bench.training.trainer import Trainer

LENGTH = 0.5  # seconds that one side takes in a round
TARGET = "at least 0.98"


class Ours(Trainer):
    """The harness's loop, without the checkpoint at its end: a real run saves once a minute."""

    compiled = False

    def save(self, path: Path) -> None:
        pass

    def _compile(self) -> None:
        """Once, not in every round."""
        if not self.compiled:
            super()._compile()
        self.compiled = True

    def run(self, steps: int) -> None:
        self.step = 0
        self.settings = self.settings.model_copy(update={"steps": steps})
        self.fit(Path(), validate=lambda module: [], log=lambda text: None)


class Bare:
    """x_t = t x_1 + (1 - t) x_0, |v(t, x_t) - (x_1 - x_0)|^2, Adam."""

    def __init__(self, module: nn.Module, dataset: Dataset, settings: Training, seed: int) -> None:
        self.module, self.settings = module, settings
        self.data, self.levels = dataset.train, dataset.levels
        self.parameters = list(module.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.lr, fused=True)
        self.seed = seed
        self.choice, self.rng = torch.Generator(), torch.Generator()

    def batch(self) -> Tensor:
        x = self.data[torch.randint(len(self.data), (self.settings.batch,), generator=self.choice)]
        if self.levels is None:
            return x
        return (x + torch.rand(x.shape, generator=self.rng)) * (2 / self.levels) - 1

    def run(self, steps: int, follow: bool = False) -> None:
        """Train; with `follow` on the random numbers that the harness draws."""
        clip, ema = self.settings.clip, self.settings.ema
        for step in range(steps):
            if follow:
                self.choice.manual_seed(number(self.seed, "minibatch", step))
                self.rng.manual_seed(number(self.seed, "training", step))
            x1 = self.batch()
            t = torch.rand(len(x1), generator=self.rng)
            x0 = torch.randn(x1.shape, generator=self.rng)
            s = t.view(-1, *[1] * (x1.dim() - 1))
            loss = (self.module(t, s * x1 + (1 - s) * x0) - (x1 - x0)).square().mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(self.parameters, clip)
            self.optimizer.step()
            if ema:
                with torch.no_grad():
                    torch._foreach_lerp_(self.average, self.parameters, 1 - ema)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    points, images = datasets["checkerboard"](data_dir), datasets["digits"](data_dir)
    for name, dataset, network, batch in (
        ("5x512 MLP", points, networks["mlp"]((2,), width=512, depth=5), 512),
        ("4x64 MLP", points, networks["mlp"]((2,), width=64, depth=4), 512),
        ("U-Net on digits", images, networks["unet"]((1, 8, 8), channels=[32, 64], layers=1), 128),
    ):
        for extra, options in (("", {}), (", EMA and clipping", {"ema": 0.999, "clip": 1.0})):
            settings = Training(steps=1, batch=batch, lr=1e-3, **options)
            bare = Bare(copy.deepcopy(network), dataset, settings, seed=0)
            ours = Ours("perf", settings, baselines["fm_ot"](), copy.deepcopy(network), dataset, seed=0)
            bare.run(8, follow=True)
            ours.run(8)
            apart = max(
                float((a - b).detach().abs().max()) for a, b in zip(ours.parameters, bare.parameters, strict=True)
            )
            steps = calls(lambda bare=bare: bare.run(4), LENGTH) * 4
            yield compare(
                f"training, {name}, batch {batch}{extra}",
                lambda ours=ours, steps=steps: ours.run(steps),
                lambda bare=bare, steps=steps: bare.run(steps),
                rounds,
                "steps/s",
                steps,
                TARGET,
                f"after 8 steps no weight is further apart than {apart:.0e}",
            )
