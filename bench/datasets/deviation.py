"""The standard deviation of data in model space, of all dimensions together."""

from bench.datasets.base import Dataset

SAMPLES = 10_000  # are measured at least, if there are so many, and fewer than twice that


def deviation(dataset: Dataset) -> float:
    """That of all numbers of every k-th sample of the training split, to four digits.

    More digits differ from machine to machine.
    """
    rows = dataset.train[:: max(1, len(dataset.train) // SAMPLES)]
    sums = [(x.sum(), x.square().sum()) for x in (dataset.encode(part).double() for part in rows.split(100))]
    mean, square = (float(sum(each)) / (len(rows) * dataset.dim) for each in zip(*sums, strict=True))
    return float(f"{max(0.0, square - mean**2) ** 0.5:.4g}")
