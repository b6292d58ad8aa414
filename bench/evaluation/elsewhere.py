"""Samples made elsewhere, scored as those of a trained model are: by the same metrics, reference and extractor.

What made them is not known, so what a stage measures of a model is not applicable.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.config.registry import metrics
from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.made import Made
from bench.errors import NOT_APPLICABLE
from bench.evaluation import pictures
from bench.evaluation.floors import floors
from bench.evaluation.parts import Arrays, Rows, without
from bench.evaluation.pictures import Shown, how_many
from bench.evaluation.quality import Judge
from bench.evaluation.trained import Drawn
from bench.metrics.metric import is_beside
from bench.records.measurement import ELSEWHERE, Measurement
from bench.training.precision import full_float32

SEED = 0  # of what a metric draws
UNKNOWN = f"{NOT_APPLICABLE}: made elsewhere, so the model and what it cost are not known"


def score(
    made: Made,
    dataset: Dataset,
    config: Samples,
    origin: Mapping[str, Any],
    data_dir: Path,
    device: str,
    said: Callable[[int], None],
) -> tuple[Rows, Arrays]:
    """The measurements of the first n samples, and the arrays for plots; `said` is told how many are in.

    The measurements quote `origin` as the options of their sampler.

    UsageError for samples that are none of such data (bench/datasets/elsewhere.py).
    """
    judge = Judge(dataset, config, data_dir, device, SEED)
    quality = judge.quality(config.n, quote={"sampler": ELSEWHERE, "options": {**origin}})
    shown = Shown(how_many(dataset))
    with full_float32(device):
        for start, x in made.batches(config.n):
            drawn = Drawn(start, x.to(device), nfe=math.nan, seconds=math.nan)
            quality.add(drawn)
            shown.add(drawn)
            said(start + len(x))
        rows = quality.measured() + unknown(dataset) + floors(judge, config.n)
    return rows, pictures.of_samples(dataset, shown.gathered())


def unknown(dataset: Dataset) -> Rows:
    """What is measured of a model, each without a value."""
    kind = "images" if dataset.is_image else "points"
    of_models = [metric for metric in metrics.values() if not metric.needs and metric.data in ("any", kind)]
    facts = {name: about for metric in of_models for name, about in metric.facts.items()}
    names = [name for name, about in facts.items() if about.group and not is_beside(name)]
    return without([Measurement(name) for name in names], UNKNOWN)
