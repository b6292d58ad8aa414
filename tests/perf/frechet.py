"""Our Frechet distance against torch-fidelity's own, of the same features."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from compare import Row, compare

from bench.metrics import frechet
from bench.metrics.extractors.features import Features


def drawn(n: int, rng: torch.Generator) -> Features:
    """2048 features of n images that are not there: sums of 256 common factors and of noise, cut at 0."""
    found = Features(n, lambda _: (x, x[:, :0]), torch.zeros(2048), batch=n)
    factors = torch.randn(n, 256, generator=rng) @ torch.randn(256, 2048, generator=torch.Generator().manual_seed(0))
    x = (0.05 * factors + 0.1 * torch.randn(n, 2048, generator=rng) + 0.3).relu()
    found.update(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), 0)
    return found


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    """Of as many samples as a curve's point has, and of more than there are features."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    rng = torch.Generator().manual_seed(1)
    reference = drawn(5000, rng)

    def theirs(samples: Features) -> float:
        sides = [{"mu": x.mean.numpy(), "sigma": x.covariance.numpy()} for x in (samples, reference)]
        return float(fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID])

    for n in (512, 3000):
        samples = drawn(n, rng)
        ours = partial(frechet.of_all, samples, reference)
        apart = abs(ours() / theirs(samples) - 1)  # warm from here on: the reference has its root
        name = f"Frechet distance of {n} images, 2048 features"
        yield compare(name, ours, partial(theirs, samples), rounds, note=f"apart by {apart:.0e} of it")
