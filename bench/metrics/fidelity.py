"""How far generated images are from real ones: Frechet distance and kernel MMD of features (torch-fidelity).

    FD = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))             Heusel et al. 2017
    KD = MMD^2 with the kernel (x.y / d + 1)^3, unbiased                Binkowski et al. 2018

m, S are mean and covariance of the features of all samples and of all images of the reference split. With the
FID Inception these are `fid` and `kid`; with any other extractor `fd_<extractor>` and `kd_<extractor>`, on a
scale of their own. FD is biased upwards by about 1/n, so compare rows of one n, one split and one extractor
only.

The reference's features are computed once and kept in data_dir/fidelity, in files named by the dataset's
name, version and checksum, the split, and the extractor with its version.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.metrics.cache import file_name, once
from bench.metrics.extractors import Extractor, extractor_for
from bench.records import Measurement

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000  # Binkowski et al.'s and torch-fidelity's


class Pixels(TorchDataset[Tensor]):
    """Images as torch-fidelity reads them: uint8 pixels, greyscale repeated to `channels` where that is set.

    `pixels` converts each when it is asked for, and a cached reference is never asked.
    """

    def __init__(self, images: Tensor, channels: int | None, pixels: Callable[[Tensor], Tensor]) -> None:
        self.images = images if channels is None else images.expand(-1, channels, -1, -1)
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels(self.images[index])


def fidelity(
    samples: Tensor,
    dataset: Dataset,
    split: str,
    extractor: str,
    data_dir: Path,
    device: str = "cpu",
    *,
    kernel: bool = True,
    batch: int = 64,
) -> list[Measurement]:
    """Distances between samples and a split of the dataset they imitate.

    Args:
        samples: (N, C, H, W) uint8 pixels in {0, ..., 255}, of the dataset's shape, N >= 4.
        split: "train" or "test", the reference.
        extractor: see bench.metrics.extractors.
        data_dir: folder of data sets, weights and cached reference features.
        kernel: also measure the kernel distance (left out of validation curves: it costs 0.6 s for
            1437 samples of 64 features, the Frechet one 0.02 s).
        batch: images that go through the extractor at once; the values do not depend on it but for rounding.

    Returns:
        fid and kid, or fd_<extractor> and kd_<extractor>, with n = N. The Frechet distance has no stderr;
        that of the kernel distance is the standard deviation over 100 random subsets, which is the standard
        error of an estimate from one subset (what papers print after the plus-minus) and so more than that of
        the mean. A subset has 1000 images, or half of the smaller set where that is less.

    Raises:
        UsageError: samples of another type or shape, an unknown split or extractor, missing labels or
            weights.
    """
    _check(samples, dataset, split)
    chosen = extractor_for(extractor, dataset, data_dir)
    reference: Tensor = getattr(dataset, split)
    subset = min(KID_SUBSET_SIZE, len(samples) // 2, len(reference) // 2)
    options = {
        "feature_extractor": chosen.name,
        "feature_extractor_weights_path": chosen.weights and str(chosen.weights),
        "feature_layer_fid": chosen.layer,
        "feature_layer_kid": chosen.layer,
        "input1": Pixels(samples.cpu(), chosen.channels, lambda image: image),
        "input2": Pixels(reference.cpu(), chosen.channels, dataset.pixels),
        "input2_cache_name": cache_name(dataset, split, chosen),
        "cache_root": str(data_dir / "fidelity"),
        "fid": True,
        "kid": kernel,
        "kid_subsets": KID_SUBSETS,
        "kid_subset_size": subset,
        "batch_size": batch,
        "cuda": torch.device(device).type == "cuda",
        "save_cpu_ram": True,  # no worker processes: the images are in memory
        "verbose": False,
    }
    import torch_fidelity

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 keeps 10 of float32's 23 bits
        _prepare_reference(chosen, options)
        found = torch_fidelity.calculate_metrics(**options)
    frechet, kernel_name = ("fid", "kid") if extractor == "inception" else (f"fd_{extractor}", f"kd_{extractor}")
    settings = {
        "extractor": extractor,
        "extractor_version": chosen.version,
        "split": split,
        "reference_n": len(reference),
    }
    rows = [Measurement(frechet, found["frechet_inception_distance"], None, len(samples), None, settings)]
    if kernel:
        value, spread = (found[f"kernel_inception_distance_{key}"] for key in ("mean", "std"))
        settings = settings | {"kid_subsets": KID_SUBSETS, "kid_subset_size": subset}
        rows.append(Measurement(kernel_name, value, spread, len(samples), None, settings))
    return rows


def cache_name(dataset: Dataset, split: str, extractor: Extractor) -> str:
    """All that decides the reference's features; torch-fidelity appends the names of extractor and layer."""
    return file_name(dataset.name, dataset.version, dataset.checksum, split, extractor.version)


def _prepare_reference(extractor: Extractor, options: dict[str, Any]) -> None:
    """Fill torch-fidelity's cache for the reference, in one process at a time."""
    start = f"{options['input2_cache_name']}-{extractor.name}"
    root = Path(options["cache_root"])

    def compute() -> None:
        from torch_fidelity.metric_fid import fid_input_id_to_statistics_cached
        from torch_fidelity.utils import create_feature_extractor

        network = create_feature_extractor(extractor.name, [extractor.layer], **options)
        fid_input_id_to_statistics_cached(2, network, extractor.layer, **options)

    features, statistics = (f"{start}-{kind}-{extractor.layer}.pt" for kind in ("features", "stat-fid"))
    once([root / features, root / statistics], compute)


def _check(samples: Tensor, dataset: Dataset, split: str) -> None:
    if not dataset.is_image:
        raise UsageError(f"dataset {dataset.name!r} holds points; features are extracted from images only")
    if split not in ("train", "test"):
        raise UsageError(f"split {split!r} is not one of train, test")
    if samples.dtype != torch.uint8:
        raise UsageError(f"samples are {samples.dtype}; they must be uint8 pixels (see Dataset.quantise)")
    if samples.ndim != 4 or tuple(samples.shape[1:]) != dataset.shape:
        raise UsageError(f"samples have shape {tuple(samples.shape)}; {dataset.name} needs (N, *{dataset.shape})")
    if len(samples) < 4:
        raise UsageError(f"{len(samples)} samples are too few for a covariance and two subsets; 4 are needed")
