"""Images a second of our Inception against torch-fidelity's own, in interleaved rounds of one process.

    python tests/perf/inception.py [data_dir]

Prints the rows, the FID of the same images by both extractors, and the KID example of torchmetrics'
documentation (seed 123, 100 uniform images in [0, 200) against 100 in [100, 255), subsets of 50: 0.0337 +-
0.0023).
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROUNDS, IMAGES = 7, 32
Row = tuple[str, float, float, float, float, float]


def extractors(data_dir: Path) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and torch-fidelity's, with the same weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from bench.metrics.inception import Inception, weights

    path = weights(data_dir, data_dir / "extractors")
    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=str(path))
    return Inception("ours", ["2048"], str(path)), theirs


def rows(data_dir: Path = Path("data")) -> list[Row]:
    """(name, our median, reference median, their ratio, smallest and largest ratio of a round), images/s."""
    ours, theirs = extractors(data_dir)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()

    def rate(network: torch.nn.Module) -> float:
        start = time.perf_counter()
        with torch.no_grad():
            network(images)
        return IMAGES / (time.perf_counter() - start)

    rate(ours), rate(theirs)
    pairs = [(rate(ours), rate(theirs)) for _ in range(ROUNDS)]
    ratios = [a / b for a, b in pairs]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    name = f"inception, images/s, 32x32, {torch.get_num_threads()} threads"
    return [(name, *medians, medians[0] / medians[1], min(ratios), max(ratios))]


def features(network: torch.nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part)[0] for part in images.split(32)])


def frechet(one: Tensor, two: Tensor) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics_of = fid_features_to_statistics
    return fid_statistics_to_metric(statistics_of(one), statistics_of(two), False)["frechet_inception_distance"]


def documented_kid(data_dir: Path) -> tuple[float, float]:
    """torchmetrics' example: its generator is seeded before the network is built, which draws from it too."""
    torch.manual_seed(123)
    from torch_fidelity.metric_kid import mmd2

    from bench.metrics.inception import Inception, weights

    network = Inception("ours", ["2048"], str(weights(data_dir, data_dir / "extractors")))
    bounds = ((0, 200), (100, 255))
    images = [torch.randint(low, high, (100, 3, 299, 299), dtype=torch.uint8) for low, high in bounds]
    real, fake = (features(network, batch) for batch in images)
    kernel: Callable[[Tensor, Tensor], Tensor] = lambda x, y: ((x @ y.T) / 2048 + 1) ** 3  # noqa: E731
    values = []
    for _ in range(100):
        x, y = (side[torch.randperm(100)[:50]] for side in (real, fake))
        values.append(mmd2(*(k.numpy() for k in (kernel(x, x), kernel(x, y), kernel(y, y)))))
    return statistics.mean(values), statistics.pstdev(values)


def main(data_dir: Path) -> None:
    for name, ours, reference, ratio, low, high in rows(data_dir):
        print(f"{name}: ours {ours:.1f}, torch-fidelity {reference:.1f}: {ratio:.2f} [{low:.2f}, {high:.2f}]")
    rng = torch.Generator().manual_seed(1)
    pair = torch.randint(0, 256, (2, 256, 3, 32, 32), generator=rng).byte()
    pair[1] //= 2
    values = [frechet(*(features(network, images) for images in pair)) for network in extractors(data_dir)]
    print(f"FID of 256 images: ours {values[0]:.6f}, torch-fidelity {values[1]:.6f}")
    mean, deviation = documented_kid(data_dir)
    print(f"torchmetrics' KID example: {mean:.4f} +- {deviation:.4f} (documented: 0.0337 +- 0.0023)")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
