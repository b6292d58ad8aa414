"""Our Inception and Frechet distance against torch-fidelity's own, with the same weights and of the same features.

The note holds what shows that ours is the standard one: how far features are apart, and the KID example of
torchmetrics' documentation (seed 123, 100 uniform images in [0, 200) against 100 in [100, 255), subsets of 50, whose
value is 0.0337 +- 0.0023).
"""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from compare import Row, compare
from torch import Tensor, nn

from bench.errors import UsageError
from bench.metrics import frechet
from bench.metrics.extractors.features import Features

IMAGES = 32


def features(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part)[0] for part in images.split(32)])


def documented_kid(path: Path) -> str:
    """torchmetrics' example: its generator is seeded before the network is built, which draws from it too."""
    from torch_fidelity.metric_kid import mmd2

    from bench.metrics.extractors.inception import Inception

    torch.manual_seed(123)
    network = Inception("ours", ["2048"], str(path))
    images = [torch.randint(low, high, (100, 3, 299, 299), dtype=torch.uint8) for low, high in ((0, 200), (100, 255))]
    real, fake = (features(network, batch) for batch in images)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return ((x @ y.T) / 2048 + 1) ** 3

    values = []
    for _ in range(100):
        x, y = (side[torch.randperm(100)[:50]] for side in (real, fake))
        values.append(mmd2(*(k.numpy() for k in (kernel(x, x), kernel(x, y), kernel(y, y)))))
    return f"{statistics.mean(values):.4f} +- {statistics.pstdev(values):.4f}"


def drawn(n: int, rng: torch.Generator) -> Features:
    """2048 features of n images that are not there: sums of 256 common factors and of noise, cut at 0."""
    found = Features(n, lambda _: (x, x[:, :0]), torch.zeros(2048), batch=n)
    factors = torch.randn(n, 256, generator=rng) @ torch.randn(256, 2048, generator=torch.Generator().manual_seed(0))
    x = (0.05 * factors + 0.1 * torch.randn(n, 2048, generator=rng) + 0.3).relu()
    found.update(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), 0)
    return found


def distances(rounds: int) -> Iterator[Row]:
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


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from bench.metrics.extractors.inception import Inception, weights

    yield from distances(rounds)
    name = f"Inception features of {IMAGES} images 32x32"
    try:
        path = weights(data_dir, data_dir / "extractors")
    except UsageError as error:
        yield Row(name, note=str(error))
        return
    ours = Inception("ours", ["2048"], str(path))
    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=str(path))
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    apart = float((features(ours, images) - features(theirs, images)).abs().max())
    note = f"features apart by {apart:.0e} at most; KID example {documented_kid(path)} (documented 0.0337 +- 0.0023)"
    yield compare(
        name,
        lambda: features(ours, images),
        lambda: features(theirs, images),
        rounds,
        "images/s",
        IMAGES,
        "at least 2.2",
        note,
    )
