"""TensorBoard's event files of a run: losses, curves, the numbers of each stage, and sheets of samples.

They lie in results/<suite>/tensorboard/<run_id>; `tensorboard --logdir results/<suite>/tensorboard` shows them. The
axis is the step of training, in a sweep the number of evaluations. A training that goes on from a checkpoint hides what
it had written beyond it.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bench.records.measurement import Measurement

FOLDER = "tensorboard"
BINS = 128  # a side of the histogram that points are shown as


class Board:
    """The event files of one run in a folder; of an earlier start those from the step `hidden` on do not show."""

    def __init__(self, folder: Path, hidden: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=hidden)

    def loss(self, step: int, loss: float, rate: float, seconds: float) -> None:
        """A line of the log."""
        for name, value in {"loss": loss, "lr": rate, "seconds": seconds}.items():
            self._writer.add_scalar(f"training/{name}", value, step)

    def measured(self, stage: str, rows: Iterable[Measurement], step: int) -> None:
        """Numbers under the stage, and under the sampler if they name one; those without a value are left out."""
        for row in rows:
            if math.isfinite(row.value):
                where = f"/{row.settings['sampler']}" if "sampler" in row.settings else ""
                # An axis takes whole numbers, and the evaluations of a sweep may be a mean.
                self._writer.add_scalar(f"{stage}/{row.metric}{where}", row.value, round(row.place.get("nfe", step)))
        self._writer.flush()

    def sheet(self, name: str, samples: Any, extent: float, step: int) -> None:
        """Samples as one picture: images (n, H, W, C) side by side, points of the plane (n, 2) as a histogram."""
        if samples.ndim == 4:
            columns = math.ceil(math.sqrt(len(samples)))
            blank = np.zeros((-len(samples) % columns, *samples.shape[1:]), samples.dtype)
            cells = np.concatenate([samples, blank])
            rows = [np.concatenate(list(row), axis=1) for row in cells.reshape(-1, columns, *samples.shape[1:])]
            self._writer.add_image(name, np.concatenate(rows), step, dataformats="HWC")
        elif samples.shape[1:] == (2,):
            edges = np.linspace(-extent, extent, BINS + 1)
            x, y = samples.astype(np.float32).T
            counts = np.histogram2d(y, x, [edges, edges])[0][::-1]
            shade = 255 - 255 * np.sqrt(counts / max(counts.max(), 1))
            self._writer.add_image(name, shade.astype(np.uint8), step, dataformats="HW")
        self._writer.flush()
