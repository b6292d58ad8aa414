"""`bench.frame`: the tidy frame of a folder of results, of several, and of an archive."""

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from pandas import testing
from tiny import runs

import bench
from bench.errors import UsageError
from bench.records.archive import write_archive
from bench.records.frame import COLUMNS, read_frame
from bench.records.measurement import Measurement
from bench.records.planned import write_plan
from bench.records.records import write_stage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One finished stage of the first run, and a damaged one of the second."""
    folder, planned = tmp_path / "results" / "tiny", runs(tmp_path)
    write_stage(folder, planned[0], "likelihood", [Measurement("nll_nats", 1.5, n=20)], {"label": "FM"})
    write_plan(folder, "about", planned)
    return folder


def test_a_folder_and_its_archive_have_one_frame(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    write_archive([root], tmp_path / "tiny.tar.xz")
    found = bench.frame(root)
    assert list(found.columns) == COLUMNS
    (row,) = found[found.metric == "nll_nats"].to_dict("records")
    assert (row["value"], row["n"], row["dataset"], row["suite"]) == (1.5, 20, "checkerboard", "tiny")
    testing.assert_frame_equal(bench.frame(str(tmp_path / "tiny.tar.xz")), found)
    assert not list(temporary.iterdir()) and sorted(p.name for p in tmp_path.iterdir()) == [
        *("results", "temporary", "tiny.tar.xz", "tiny.toml")
    ]


def test_several_suites_are_one_frame(root: Path, tmp_path: Path) -> None:
    (other,) = runs(tmp_path, baselines=["ddpm"], settings={"training.steps": 7})
    write_stage(root.parent / "other", other, "likelihood", [Measurement("nll_nats", 2.5)], {})
    found = bench.frame(root.parent)
    assert sorted(found.value.dropna()) == [1.5, 2.5]
    assert len(found) == len(read_frame(root)) + len(read_frame(root.parent / "other"))
    assert found.attrs["left_out"] == []


def test_what_is_not_sound_in_an_archive_is_named_by_it(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        entry = tarfile.TarInfo("runs/a/train.json")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"{}"))
    (error,) = bench.frame(path).error
    assert error.startswith(f"{path}/runs/a/train.json: not a record (")


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_place_without_records_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=rf"{name}: no (records|such)") as error:
        bench.frame(tmp_path / name)
    assert "\n" not in str(error.value)


def test_reference_results_are_read_as_they_are_passed_on() -> None:
    found = bench.frame(Path(__file__).parents[2] / "results/reference/images.tar.xz")
    assert set(found.metric) >= {"nll_bpd", "train_seconds"} and set(found.status) == {"ok"}
