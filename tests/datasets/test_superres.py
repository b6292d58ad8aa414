"""Super-resolution: what is given by hand and by PIL, the data it comes from, and whole runs on small pictures."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import runs
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bench.config.components import build_network
from bench.config.registry import baselines, datasets, networks
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.superres import degraded, enlarged
from bench.launch.job import Job
from bench.metrics.extractors import classifier
from bench.metrics.psnr import psnr
from bench.metrics.ssim import ssim
from bench.records.frame import read_frame

DRAW = torch.Generator().manual_seed(0)
NOISE = torch.randint(0, 256, (4, 3, 32, 32), generator=DRAW, dtype=torch.uint8)
# Black and white in blocks of 8 pixels: both interpolations overshoot at their edges.
BLOCKS = (torch.randint(0, 2, (4, 3, 4, 4), generator=DRAW, dtype=torch.uint8) * 255).repeat_interleave(8, 2)
BLOCKS = BLOCKS.repeat_interleave(8, 3)
CNN = "pictures_cnn"


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """What this file registers is forgotten after it; a few steps are enough for its classifier."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (datasets, networks, baselines):
            registry.load()
            patch.setattr(registry, "_entries", dict(registry._entries))
        patch.setattr(classifier, "STEPS", 30)
        datasets.register("pictures")(lambda data_dir: PICTURES)
        datasets.register("whole")(lambda data_dir: WHOLE)
        datasets.register("plain")(lambda data_dir: replace(PICTURES, name="plain", given=None))
        networks.register("echo")(Echo)
        networks.register("deaf")(lambda shape: Echo(shape, (1, *shape[1:])))
        yield


# What is given.


def bicubic(small: Tensor, side: int) -> Tensor:
    """Keys' bicubic interpolation with a = -3/4, pixels beyond the edge being those at the edge."""

    def kernel(d: float) -> float:
        d, a = abs(d), -0.75
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    n = small.shape[-1]
    matrix = torch.zeros(side, n, dtype=torch.float64)
    for i in range(side):
        centre = (i + 0.5) * n / side - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[i, min(max(j, 0), n - 1)] += kernel(centre - j)
    return matrix @ small.double() @ matrix.T


@pytest.mark.parametrize("images", [NOISE, BLOCKS], ids=["noise", "blocks"])
def test_the_small_image_is_pils_and_is_enlarged_by_keys_kernel(images: Tensor) -> None:
    planes = [Image.fromarray(plane.numpy().astype(np.float32)) for plane in images.flatten(0, 1)]
    planes = [plane.resize((8, 8), Image.Resampling.BICUBIC) for plane in planes]
    small = torch.stack([torch.from_numpy(np.array(p)) for p in planes]).view(4, 3, 8, 8).round()
    expected = bicubic(small.clamp(0, 255), 32)
    if images is BLOCKS:
        assert small.min() < 0 and small.max() > 255 and expected.min() < 0 and expected.max() > 255
    torch.testing.assert_close(degraded(images, 8).double(), expected.clamp(0, 255), rtol=0, atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_a_constant_image_stays_as_it_is(level: int) -> None:
    image = torch.full((1, 3, 32, 32), level, dtype=torch.uint8)
    found = degraded(image, 8)
    assert found.dtype == torch.float32 and found.shape == image.shape
    torch.testing.assert_close(found, image.float(), rtol=0, atol=1e-4)


def test_an_image_is_degraded_the_same_in_any_batch_and_again() -> None:
    found = degraded(NOISE, 8)
    assert torch.equal(found, degraded(NOISE, 8))
    assert torch.equal(found, torch.cat([degraded(image, 8) for image in NOISE.split(1)]))
    assert found.min() >= 0 and found.max() <= 255 and found.std() > 10


def test_what_is_given_is_at_the_centres_of_the_bins() -> None:
    dataset = Dataset("any", "1", NOISE, NOISE, levels=256)
    given = enlarged(dataset, 8)(BLOCKS)
    torch.testing.assert_close(given, (degraded(BLOCKS, 8) + 0.5) / 128 - 1)
    assert given.min() == 1 / 256 - 1 and given.max() == 1 - 1 / 256
    assert torch.equal(dataset.decode(given), (degraded(BLOCKS, 8) + 0.5).floor().to(torch.uint8))


# The data.


@pytest.mark.parametrize(
    ("name", "large", "side", "size"),
    [("cifar10_8_to_32", "cifar10", 8, 32), ("imagenet64_to_256", "imagenet256", 64, 256)],
)
@pytest.mark.parametrize("stamp", [None, "of the packed files"])
def test_it_is_the_large_data_made_from_the_small(
    name: str, large: str, side: int, size: int, stamp: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    labels = torch.arange(3)
    origin = Dataset(
        large, "7", images[:2], images[2:], 256, labels[:2], labels[2:], extractor="inception", stamp=stamp
    ).fix()
    asked: list[Path] = []
    monkeypatch.setitem(datasets._entries, large, lambda data_dir: asked.append(data_dir) or origin)
    found = datasets[name](tmp_path)
    assert asked == [tmp_path] and found.name == name and found.checksum == origin.checksum
    same = ("version", "levels", "train_labels", "test_labels", "extractor", "shape", "train", "test")
    assert all(getattr(found, fact) is getattr(origin, fact) or fact == "shape" for fact in same)
    assert found.given and origin.given is None
    given = found.given(found.test)
    assert given.shape == found.test.shape
    torch.testing.assert_close(given, origin.scale(degraded(images[2:], side), 0.5))


# Whole runs.


def pictures(n: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Smooth images of 16 pixels, brighter in the second of two classes."""
    labels = torch.arange(n) % 2
    coarse = 60 + 80 * labels.view(-1, 1, 1, 1) + 60 * torch.rand(n, 3, 4, 4, generator=draw)
    return interpolate(coarse, (16, 16), mode="bilinear").to(torch.uint8), labels


TRAIN, TEST = pictures(64, DRAW), pictures(24, DRAW)
PLAIN = Dataset("pictures", "1", TRAIN[0], TEST[0], 256, TRAIN[1], TEST[1], extractor=CNN)
PICTURES = replace(PLAIN, given=enlarged(PLAIN, 4))
WHOLE = replace(PLAIN, name="whole", extractor="whole_cnn", given=lambda images: PLAIN.scale(images, 0.5))


class Echo(nn.Module):
    """A network that answers what it is given."""

    def __init__(self, shape: tuple[int, ...], given: tuple[int, ...]) -> None:
        super().__init__()
        self.given = given[0]
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.one * x[:, -self.given :]


SUITE = """
protocol = "smoke"

[[experiments]]
dataset = "pictures"
network = { name = "adm", channels = 4, multiples = [1, 2], blocks = 1, attention = [], head_channels = 4 }
baselines = ["fm_ot", "regression", "sr3"]
training = { steps = 4, batch = 8, micro_batch = 4, lr = 1e-9, curve_points = 1, curve_n = 8 }
evaluation.samples = { n = 24, batch = 10, solver = { method = "midpoint", steps = 3 }, path_n = 5, path_times = 3 }
evaluation.sweep = { n = 12, batch = 12, solvers = ["midpoint"], nfe = [4], tolerances = [1e-1] }
overrides.sr3.options = { ancestral_steps = 5 }
"""
ALONE = SUITE.replace("overrides.sr3", "# ")
NETWORK = SUITE[SUITE.index("network") : SUITE.index("baselines")]
SAMPLERS = {"fm_ot": {"midpoint"}, "regression": {"direct"}, "sr3": {"midpoint", "ancestral-5"}}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs share their extractor."""
    return tmp_path_factory.mktemp("data")


def job(folder: Path, data_dir: Path, text: str = SUITE, baseline: str = "fm_ot") -> Job:
    return Job(runs(folder, text, baselines=[baseline])[0], folder / "results", data_dir)


@pytest.fixture(scope="module", params=SAMPLERS)
def done(request: pytest.FixtureRequest, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    this = job(tmp_path_factory.mktemp("job"), data_dir, SUITE, request.param)
    said: list[str] = []
    assert this(said.append) == "ok", said
    return this


def table(job: Job) -> Any:
    found = read_frame(job.root)
    assert set(found.status) == {"ok"}
    found["sampler"] = found.settings.map(lambda s: json.loads(s).get("sampler"))
    return found


@pytest.mark.slow
def test_every_stage_measures_quality_and_likeness(done: Job) -> None:
    found, samplers = table(done), SAMPLERS[done.run.baseline.name]
    rows = found[found.stage == "samples"]
    quality = {f"fd_{CNN}", f"kd_{CNN}", "precision", "recall"}
    cost = {"path_energy", "straightness", "tortuosity", "nfe_sampling", "sampling_seconds", "peak_memory_bytes"}
    assert set(rows.metric) == quality | {f"{m}_floor" for m in quality} | {"psnr", "ssim"} | cost
    for metric in ("psnr", "ssim"):
        measured = rows[rows.metric == metric]
        assert set(measured.sampler) == samplers and set(measured.n) == {24}
    inapplicable = found[found.value.isna()]
    assert (
        inapplicable.empty
        if done.run.baseline.name != "regression"
        else (
            set(inapplicable.metric[inapplicable.stage == "samples"]) == {"path_energy", "straightness", "tortuosity"}
            and set(inapplicable.stage) == {"samples", "sweep"}
            and set(inapplicable.reason) == {"not applicable: regression answers one image, without a distribution"}
        )
    )
    sweep = found[found.stage == "sweep"]
    assert set(sweep.metric) == {f"fd_{CNN}", f"fd_{CNN}_floor", "psnr", "ssim", "sampling_seconds"}
    assert set(sweep.sampler.dropna()) == {
        "midpoint",
        "dormand_prince",
    }
    curve = found[(found.stage == "train") & (found.metric == f"fd_{CNN}")]
    assert len(curve) == 1 and not any(metric.startswith("nll") for metric in found.metric)


@pytest.mark.slow
def test_likeness_is_that_of_sample_i_and_test_image_i(done: Job) -> None:
    arrays, rows = np.load(done.folder / "samples.npz"), table(done)[lambda f: f.stage == "samples"]
    samples, data = (torch.from_numpy(arrays[name]).permute(0, 3, 1, 2) for name in ("samples", "data"))
    assert samples.shape == (24, 3, 16, 16) and torch.equal(data, TEST[0])
    assert PICTURES.given
    given = torch.from_numpy(arrays["given"]).permute(0, 3, 1, 2)
    assert torch.equal(given, PICTURES.decode(PICTURES.given(TEST[0])))
    for metric, values in (("psnr", psnr(samples, data)), ("ssim", ssim(samples, data))):
        (row,) = rows[(rows.metric == metric) & rows.sampler.isin(["midpoint", "direct"])].itertuples()
        assert row.value == pytest.approx(float(values.mean()), rel=1e-6)
        assert row.stderr == pytest.approx(float(values.std()) / math.sqrt(24), rel=1e-6)


@pytest.mark.slow
def test_the_network_is_given_the_channels_that_are_given(done: Job) -> None:
    grey = replace(PICTURES, given=lambda images: enlarged(PLAIN, 4)(images).mean(1, keepdim=True))
    for dataset, more in ((PICTURES, 3), (grey, 1)):
        net = build_network(done.run.network, dataset)
        assert net(torch.rand(2), torch.randn(2, 3 + more, 16, 16)).shape == (2, 3, 16, 16)
        with pytest.raises(RuntimeError, match=f"{3 + more} channels"):
            net(torch.rand(2), torch.randn(2, 3, 16, 16))
        if dataset is PICTURES:
            assert set(table(done).parameters) == {sum(p.numel() for p in net.parameters())}


@pytest.mark.slow
def test_the_best_that_can_be_answered_is_the_truth(tmp_path: Path, data_dir: Path) -> None:
    """A network that is given the image itself and answers it: PSNR at its cap, SSIM 1, whatever the batch."""
    text = ALONE.replace('"pictures"', '"whole"').replace(NETWORK, 'network = "echo"\n')
    this = job(tmp_path, data_dir, text, "regression")
    assert this() == "ok"
    found = table(this)
    # What is left in training is the dequantisation: (2 (u - 1/2) / 256)^2 with u ~ U[0, 1).
    (loss,) = found[found.metric == "train_loss"].value
    assert loss == pytest.approx(4 / 12 / 256**2, rel=0.1)
    for metric, best in (("psnr", 10 * math.log10(255**2 * 3 * 16 * 16)), ("ssim", 1.0)):
        values = found[found.metric == metric].value
        assert values.dropna().tolist() == pytest.approx([best], rel=1e-9)


# What cannot be is one line, said before anything is trained.

BAD: dict[str, tuple[str, Callable[[str], str], str]] = {
    "more samples than test images": (
        "fm_ot",
        lambda text: text.replace("n = 24", "n = 25"),
        "evaluation.samples.n = 25: a sample of pictures is given a test image, and there are 24",
    ),
    "more paths": ("fm_ot", lambda text: text.replace("path_n = 5", "path_n = 25"), "evaluation.samples.path_n = 25: "),
    "more in the sweep": ("fm_ot", lambda text: text.replace("n = 12", "n = 99"), "evaluation.sweep.n = 99: "),
    "more in the curve": ("fm_ot", lambda text: text.replace("curve_n = 8", "curve_n = 30"), "training.curve_n = 30: "),
    "a network that takes no images": (
        "fm_ot",
        lambda text: text.replace(NETWORK, 'network = "deaf"\n'),
        "network deaf: takes no given = (3, 16, 16), which pictures has; allowed: adm, concatsquash, ",
    ),
    **{
        f"{name} without anything given": (
            name,
            lambda text: text.replace('"pictures"', '"plain"'),
            f"baseline {name}: needs samples that are given something; those of plain are not",
        )
        for name in ("regression", "sr3")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_is_one_line_before_training(what: str, tmp_path: Path) -> None:
    baseline, change, words = BAD[what]
    assert change(ALONE) != ALONE
    this = job(tmp_path, tmp_path, change(ALONE), baseline)
    said: list[str] = []
    assert this(said.append) == "failed"
    record = json.loads((this.folder / "train.json").read_text())
    assert record["error"].startswith(words) and "\n" not in record["error"] and not record["measurements"]
    assert not (this.folder / "checkpoint.pt").exists()


@pytest.mark.slow
def test_a_curve_that_is_not_drawn_asks_for_nothing(tmp_path: Path, data_dir: Path) -> None:
    text = ALONE.replace("curve_points = 1, curve_n = 8", "curve_points = 0, curve_n = 99")
    text = text[: text.index("evaluation.samples")]
    assert job(tmp_path, data_dir, text)() == "ok"


def test_the_suites_name_data_that_give_images() -> None:
    from bench.config.suite import load_suite

    for name, dataset in (("superres_cifar10", "cifar10_8_to_32"), ("superres_imagenet", "imagenet64_to_256")):
        _, suite = load_suite(name)
        (experiment,) = suite.experiments
        assert experiment.dataset == (Component(name=dataset),) and experiment.evaluation.likelihood is None
        assert experiment.baselines == ("fm_ot", "regression", "sr3")
