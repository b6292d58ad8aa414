"""Our Inception against torch-fidelity's own, with the same weights.

The note holds what shows that ours is the standard one: how far features are apart, and the KID example of
torchmetrics' documentation (seed 123, 100 uniform images in [0, 200) against 100 in [100, 255), subsets of 50, whose
value is 0.0337 +- 0.0023).
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from compare import Row, compare
from torch import Tensor, nn

from bench.errors import UsageError

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


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from bench.metrics.extractors.inception import Inception, weights

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
