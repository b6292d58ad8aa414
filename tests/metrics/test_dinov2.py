"""DINOv2's features are those of timm's network, on pixels and positions as the authors have them."""

import hashlib
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judging import compare, direct
from PIL import Image
from tiny import runs
from torch import Tensor

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.launch.job import Job
from bench.metrics.extractors.catalogue import Loaded, check, extractor_for
from bench.metrics.extractors.reference import Reference
from bench.records import standing
from bench.records.seal import read_json

WIDTH = 64  # one attention head's
MEAN, DEVIATION = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def network(side: int = 224, **change: Any) -> torch.nn.Module:
    """A tiny DINOv2 with random weights, its layer scales large enough to be seen."""
    from timm.models.vision_transformer import VisionTransformer

    shape = {"patch_size": 14, "embed_dim": WIDTH, "depth": 2, "num_heads": 1, "init_values": 0.5} | change
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = VisionTransformer(img_size=side, num_classes=0, global_pool="token", **shape).eval()
        torch.nn.init.normal_(found.pos_embed, std=0.1)
        torch.nn.init.normal_(found.patch_embed.proj.weight, std=0.1)
    return found


def saved(net: torch.nn.Module, path: Path) -> Path:
    """Its tensors as the authors' files have them: the same names, and a mask token."""
    torch.save(net.state_dict() | {"mask_token": torch.zeros(1, WIDTH)}, path)
    return path


def pictures(n: int, seed: int, channels: int = 3) -> Tensor:
    low = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(low, 32, mode="bilinear")).to(torch.uint8)


def pillow(images: Tensor) -> Tensor:
    """Each resized to 224 x 224 by Pillow itself."""
    shown = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    arrays = [np.array(image.resize((224, 224), Image.Resampling.BICUBIC)) for image in shown]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return pictures(8, 0)


@pytest.fixture(scope="module")
def dataset(pixels: Tensor) -> Dataset:
    return Dataset("pictures", "1", pictures(12, 1), pixels, levels=256)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(network(), tmp_path_factory.mktemp("dinov2") / "dinov2_vits14_pretrain.pth")


@pytest.fixture(scope="module")
def features(dataset: Dataset) -> Callable[[Path], Tensor]:
    """Of the test images by the weights of a file."""

    def of(path: Path) -> Tensor:
        extractor = extractor_for("dinov2", dataset, path.parent, str(path))
        return Loaded(extractor, dataset.stored_shape, "cpu")(dataset.test)[0]

    return of


@torch.no_grad()
def test_features_are_those_of_timms_network(features: Callable[[Path], Tensor], weights: Path, pixels: Tensor) -> None:
    from bench.metrics.extractors.dinov2 import resized

    expected = network()((resized(pixels) / 255 - MEAN) / DEVIATION)
    found = features(weights)
    assert found.shape == (8, WIDTH) and found.dtype == torch.float32 and found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_batch_is_its_images_one_by_one(dataset: Dataset, weights: Path, tmp_path: Path) -> None:
    network = Reference(dataset, "dinov2", tmp_path, weights=str(weights)).network
    images = pictures(20, 4)
    alone = torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(network(images)[0], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (28, 40), (300, 300)])
def test_images_are_resized_as_pillow_does(size: tuple[int, int]) -> None:
    """To the level, but where its fixed-point sums round the other way."""
    from bench.metrics.extractors.dinov2 import resized

    noise = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    difference = (resized(noise) - pillow(noise)).abs()
    assert difference.max() <= 1 and difference.mean() < 1e-2


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -3/4, torch's without antialiasing."""
    x, a = np.abs(x), -0.75
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@torch.no_grad()
def test_positions_of_a_larger_grid_are_read_as_the_authors_do(
    features: Callable[[Path], Tensor], pixels: Tensor, tmp_path: Path
) -> None:
    """The 16 x 16 places of 224 pixels from the 37 x 37 of 518: matrices of the kernel at (i + 1/2) 37 / 16.1 - 1/2."""
    from bench.metrics.extractors.dinov2 import resized

    large, small = network(518), network()
    places = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    matrix = np.zeros((16, 37))
    for i, place in enumerate(places):
        for j in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[i, min(max(j, 0), 36)] += cubic(np.array(place - j))
    read = torch.from_numpy(matrix).float()
    tensors = large.state_dict()
    grid = tensors["pos_embed"][0, 1:].unflatten(0, (37, 37))
    of_places = torch.einsum("ia,jb,abd->ijd", read, read, grid).flatten(0, 1)
    small.load_state_dict(tensors | {"pos_embed": torch.cat([tensors["pos_embed"][0, :1], of_places])[None]})
    expected = small((resized(pixels) / 255 - MEAN) / DEVIATION)
    torch.testing.assert_close(features(saved(large, tmp_path / "large.pth")), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_distances_equal_torch_fidelity_called_directly(dataset: Dataset, weights: Path, tmp_path: Path) -> None:
    """With the same extractor on the same images, and with the file in the settings."""
    reference, samples = Reference(dataset, "dinov2", tmp_path, weights=str(weights)), 255 - pictures(12, 2) // 4
    found = reference.collect(len(samples))
    found.update(samples, 0)
    rows = {row.metric: row for row in compare(reference, found)}
    theirs = direct(samples, dataset.train, "dinov2", weights, kid=True, kid_subset_size=6, prc=True)
    assert set(rows) == {"fd_dinov2", "kd_dinov2", "precision", "recall"}
    assert rows["fd_dinov2"].value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert rows["kd_dinov2"].value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    for metric in ("precision", "recall"):
        assert rows[metric].value == pytest.approx(theirs[metric], abs=1e-6)
    said = rows["fd_dinov2"].settings
    assert (said["extractor"], said["layer"]) == ("dinov2", "x_norm_clstoken")
    assert said["extractor_version"].endswith("-" + hashlib.sha256(weights.read_bytes()).hexdigest()[:16])


def test_grey_images_are_repeated(weights: Path, tmp_path: Path) -> None:
    grey = pictures(4, 3, channels=1)
    data = Dataset("grey", "1", grey, grey, levels=256)
    found = Reference(data, "dinov2", tmp_path, weights=str(weights)).network(grey)[0]
    coloured = Dataset("coloured", "1", grey.expand(-1, 3, -1, -1), grey.expand(-1, 3, -1, -1), levels=256)
    expected = Reference(coloured, "dinov2", tmp_path, weights=str(weights)).network(coloured.test)[0]
    assert torch.equal(found, expected)


def resnet(path: Path) -> None:
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), path)


def registers(path: Path) -> None:
    torch.save(network().state_dict() | {"register_tokens": torch.zeros(1, 4, WIDTH)}, path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (resnet, "holds other weights than dinov2_vits14_pretrain.pth, "),
        (registers, "holds other weights than"),
        (lambda path: saved(network(patch_size=16), path), "holds other weights than"),
        (lambda path: saved(network(embed_dim=32), path), "holds other weights than"),
        (lambda path: torch.save([1, 2], path), "holds other weights than"),
        (lambda path: path.write_bytes(saved(network(), path).read_bytes()[:-4000]), "holds other weights than"),
        (lambda path: path.write_text("no weights", encoding="utf-8"), "holds other weights than"),
        (lambda path: None, "there is no such file"),
    ],
    ids=["resnet", "registers", "patches", "narrow", "list", "truncated", "text", "missing"],
)
def test_a_wrong_file_is_one_line(
    make: Callable[[Path], object], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "dinov2.pth"
    make(path)
    with pytest.raises(UsageError) as error:
        Reference(dataset, "dinov2", tmp_path, weights=str(path))
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_without_a_file_or_timm_it_says_what_is_needed(
    dataset: Dataset, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"extractor 'dinov2': needs weights = FILE, .*dinov2_vits14_pretrain\.pth"):
        Reference(dataset, "dinov2", tmp_path)
    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)
    with pytest.raises(UsageError, match=r"needs timm: pip install flow-matching-bench\[dino\]"):
        Reference(dataset, "dinov2", tmp_path, weights=str(weights))


@pytest.mark.slow
def test_a_run_is_measured_with_what_its_suite_names(weights: Path, tmp_path: Path) -> None:
    """Numbers, floors and the file's checksum are in its record; another file in its place makes that another one."""
    path = tmp_path / "weights.pth"
    shutil.copy(weights, path)
    text = f"""
        protocol = "smoke"
        seeds = [0]
        [[experiments]]
        dataset = "digits"
        network = {{ name = "mlp", width = 8, depth = 1 }}
        baselines = ["fm_ot"]
        training = {{ steps = 2, batch = 8, lr = 1e-3 }}
        [experiments.evaluation.samples]
        n = 8
        batch = 8
        path_n = 4
        path_times = 3
        reference_n = 10
        metrics = ["fid", "kid", "precision_recall", "fid_inf"]
        extractors = {{ name = "dinov2", weights = "{path}" }}
    """
    (run,) = runs(tmp_path, text)
    job = Job(run, tmp_path / "results", tmp_path / "data")
    assert job() == "ok"
    record = read_json(job.folder / "samples.json")
    rows = {row["metric"]: row for row in record["measurements"]}
    for name in ("fd_dinov2", "kd_dinov2", "precision_dinov2", "recall_dinov2", "fd_inf_dinov2"):
        assert math.isfinite(rows[name]["value"]) and math.isfinite(rows[f"{name}_floor"]["value"])
        assert rows[name]["settings"]["extractor"] == "dinov2"
    assert rows["recall_dinov2"]["title"] == "Recall dinov2" and "'dinov2'" in rows["fd_dinov2"]["meaning"]
    assert record["inputs"][str(path)]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert standing.of(record, run, "samples").state == "done"
    torch.save(torch.load(path, weights_only=True) | {"mask_token": torch.ones(1, WIDTH)}, path)
    assert standing.of(record, run, "samples").state == "stale"


def test_an_unknown_name_is_answered_with_the_extractors_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has asked for none before; "cache" is a module beside them, and no extractor."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known

    monkeypatch.delitem(known, "dinov2", raising=False)
    monkeypatch.delitem(sys.modules, "bench.metrics.extractors.dinov2", raising=False)
    monkeypatch.delattr("bench.metrics.extractors.dinov2", raising=False)
    data = Dataset("noise", "1", pictures(8, 0), pictures(8, 1), levels=256)
    with pytest.raises(UsageError, match=r"unknown extractor 'cache'; known: .*, dinov2, .*, inception, .*, noise_cnn"):
        check("cache", data)
