"""What was observed, in the place of held-out pairs: exact draws of a posterior p(x | c) at one c.

A metric of samples then compares a model's draws for that c with the posterior's, as sbibm's C2ST does.
"""

from dataclasses import replace

import torch
from torch import Tensor

from bench.datasets.base import Dataset
from bench.errors import UsageError


def observed(dataset: Dataset, c: Tensor, n: int, rng: torch.Generator, name: str) -> Dataset:
    """The dataset with n draws given c (K,) for its test split; `name` joins its version.

    Raises:
        UsageError: the dataset has no posterior.
    """
    if dataset.posterior is None:
        raise UsageError(f"dataset {dataset.name}: it has no posterior to draw from at an observation")
    given = c.float().expand(n, len(c)).contiguous()
    version = f"{dataset.version}-{name}"
    return replace(dataset, version=version, test=dataset.posterior(given, rng), test_given=given)
