"""Cached files: made once, sealed, named by all that decides them, made again where they are damaged."""

import errno
import multiprocessing
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import runs
from torch import Tensor

from bench.config.registry import datasets
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.launch.job import Job
from bench.metrics.extractors import cache, classifier
from bench.metrics.extractors.cache import code_of, complaint, kept, write_tensors
from bench.metrics.extractors.catalogue import extractor_for
from bench.metrics.extractors.reference import Reference
from bench.records.locks import locked
from bench.records.seal import read_json


def pictures(seed: int) -> Tensor:
    return torch.randint(256, (8, 1, 6, 6), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def _make(folder: Path) -> None:
    def make(path: Path) -> None:
        with (folder / "calls").open("a") as calls:
            calls.write("x")
        time.sleep(0.2)
        with zipfile.ZipFile(folder / "part", "w") as archive:
            archive.writestr("content", "whole")
        os.replace(folder / "part", path)

    assert not complaint(kept(folder, "made.pt", make))


@pytest.mark.slow
def test_several_processes_make_a_file_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_make, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"


def written(text: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text)


def never(path: Path) -> None:
    raise AssertionError("made again")


def test_any_bit_of_a_kept_file_counts(tmp_path, capsys):
    path = kept(tmp_path / "made", "x.pt", written(b"content"))
    whole = path.read_bytes()
    assert kept(tmp_path / "made", "x.pt", never) == path
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert complaint(path), bit
    kept(tmp_path / "made", "x.pt", written(b"content"))
    assert path.read_bytes() == whole and path.with_suffix(".corrupt").read_bytes() == damaged
    assert capsys.readouterr().err.startswith(f"{path}: it")


def test_what_a_killed_write_left_is_swept_by_the_next(tmp_path):
    def killed(path: Path) -> None:
        path.write_bytes(b"half")
        os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=kept, args=(tmp_path, "x.pt", killed))
    process.start()
    process.join(20)
    assert process.exitcode == 9 and len(list(tmp_path.glob(".*.part*"))) == 1
    kept(tmp_path, "x.pt", written(b"content"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.lock", "x.pt"]


def test_files_of_older_versions_have_no_seal_and_are_served(tmp_path):
    torch.save({"x": torch.arange(3)}, tmp_path / "old.pt")
    assert kept(tmp_path, "old.pt", never) == tmp_path / "old.pt"
    data = bytearray((tmp_path / "old.pt").read_bytes())
    place = data.index(torch.arange(3).numpy().tobytes())
    data[place] ^= 1
    (tmp_path / "old.pt").write_bytes(data)
    assert complaint(tmp_path / "old.pt")


def test_a_read_only_folder_serves_what_it_has_and_the_rest_is_kept_for_the_user(tmp_path, monkeypatch):
    shared, home = tmp_path / "data/fidelity", tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    there = kept(shared, "there.pt", written(b"1"))

    def read_only(path: Path) -> object:
        if shared in path.parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return locked(path)

    monkeypatch.setattr(cache, "locked", read_only)
    assert kept(shared, "there.pt", never) == there
    mine = kept(shared, "new.pt", written(b"2"))
    assert mine == home / "flow-matching-bench/fidelity/new.pt" and kept(shared, "new.pt", never) == mine
    monkeypatch.setattr(cache, "_own", lambda folder: shared)
    with pytest.raises(UsageError, match=r"other\.pt can be kept nowhere: .*Read-only file system") as caught:
        kept(shared, "other.pt", never)
    assert "\n" not in str(caught.value)


def test_what_is_made_again_is_the_same_file(tmp_path, monkeypatch):
    """A record quotes the SHA-256 of what it read."""
    monkeypatch.setattr(classifier, "STEPS", 2)
    labels = torch.arange(8) % 2
    images = Dataset("pairs", "1", pictures(0), pictures(1), 256, labels, labels)
    made = []
    for _ in range(2):
        path = kept(tmp_path, "net.pth", lambda path: write_tensors(path, classifier.train(images).state_dict()))
        made.append(path.read_bytes())
        path.unlink()
    assert made[0] == made[1]


@pytest.mark.slow
def test_a_record_names_the_caches_that_it_read(tmp_path, monkeypatch):
    """Weights and reference features that change are inputs that changed."""
    monkeypatch.setattr(classifier, "STEPS", 2)
    text = """
        protocol = "smoke"
        seeds = [0]
        [[experiments]]
        dataset = "digits"
        network = { name = "mlp", width = 8, depth = 1 }
        baselines = ["fm_ot"]
        training = { steps = 2, batch = 8, lr = 1e-3 }
        evaluation.samples = { n = 8, batch = 8, path_n = 4, path_times = 3 }
    """
    (run,) = runs(tmp_path, text)
    job = Job(run, tmp_path / "results", tmp_path / "data")
    assert job() == "ok"
    caches = {str(path) for path in tmp_path.glob("data/*/*.pt*")}
    assert len(caches) == 2  # the classifier's weights and the train split; features of a floor's subsets are not kept
    assert list(tmp_path.glob("data/floors/*.npz"))  # which is of the data, and no input of a run
    for stage in ("train", "samples"):
        assert set(read_json(job.folder / f"{stage}.json")["inputs"]) == caches


def test_code_is_what_it_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for name, text in {
        "code_a": 'def f(x):\n    """Doc."""\n    return x + 1\n',
        "code_b": "def f(x):  # said otherwise\n    return (x + 1)\n",
        "code_c": "def f(x):\n    return x + 2\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
        seen.append(code_of(name))
    assert seen[0] == seen[1] != seen[2]


def test_a_classifier_of_other_labels_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 2)
    digits = datasets["digits"](tmp_path)
    turned = replace(digits, train_labels=9 - digits.train_labels)
    first, second = (extractor_for("digits_cnn", dataset, tmp_path) for dataset in (digits, turned))
    assert first.weights != second.weights and first.version != second.version
    assert extractor_for("digits_cnn", digits, tmp_path) == first


def test_an_extractor_of_ones_own_is_known_by_its_weights(tmp_path):
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor

    scale = torch.ones(1)

    class Scaled(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)
            self.register_buffer("scale", scale.clone())

        @staticmethod
        def get_provided_features_list():
            return ("pixels",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "pixels"

        def forward(self, images):
            return (self.scale * images[:, 0].flatten(1).float(),)

    register_feature_extractor("scaled", Scaled)
    dataset = Dataset("pictures", "1", pictures(0), pictures(1), levels=256)
    first = Reference(dataset, "scaled", tmp_path)
    scale.fill_(2)
    second = Reference(dataset, "scaled", tmp_path)
    assert first.extractor.version != second.extractor.version
    assert torch.allclose(second.features.mean, 2 * first.features.mean)
