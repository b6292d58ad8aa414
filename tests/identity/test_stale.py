"""Old results are not taken for new ones: what the command does after an edit, another file, or new records."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from tiny import write_suite

import run_all
from bench.config.registry import baselines, datasets
from bench.records.frame import read_frame

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_interpreters", "no_figures")]

HELPER = "SCALE = 1.0\n"
PLUGIN = """
'''A method and a dataset of its own.'''
import sys
from dataclasses import dataclass
from pathlib import Path
import numpy, torch
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline
from bench.datasets.base import Dataset
from bench.config.registry import register_dataset
sys.path.insert(0, str(Path(__file__).parent))
from helper_of_mine import SCALE

@register_baseline("mine", label="Mine")
@dataclass(frozen=True)
class Mine(FlowBaseline):
    def loss(self, net, x1, rng):
        return SCALE * mean_square(net(noise(x1, rng)[:, 0], x1))

    def velocity(self, net):
        return lambda t, x: net(t.expand(len(x)), x)

@register_dataset("mine_too")
def points(data_dir: Path) -> Dataset:
    x = torch.from_numpy(numpy.load(Path(__file__).parent / "points.npy"))
    return Dataset("mine_too", "1", x[:200], x[200:])
"""
SUITE = """
about = "tiny"
protocol = "smoke"

[[experiments]]
dataset = "mine_too"
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["mine"]
training = { steps = 4, batch = 16, curve_points = 1, curve_n = 10 }
evaluation.likelihood = { n = 20, batch = 20 }
"""


class Folder:
    """A plugin, its data, a suite and the results of its only run."""

    def __init__(self, path: Path) -> None:
        self.path, self.plugin, self.helper = path, path / "mine.py", path / "helper_of_mine.py"
        self.data, self.root = path / "points.npy", path / "results" / "tiny"

    def call(self, capsys: pytest.CaptureFixture[str], *more: str) -> str:
        """What the command says; it ends well."""
        options = ["--suite", str(self.path / "tiny.toml"), "--plugin", str(self.plugin), "--device", "cpu"]
        options += ["--results", str(self.path / "results"), "--data-dir", str(self.path / "data"), "--workers", "1"]
        capsys.readouterr()
        code = run_all.main([*options, *more])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return out

    def record(self, stage: str) -> dict[str, object]:
        (path,) = self.root.glob(f"runs/*/{stage}.json")
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def finished(self) -> dict[str, object]:
        return {stage: self.record(stage)["finished"] for stage in ("train", "likelihood")}

    def edit(self, file: Path, old: str, new: str) -> None:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")


def written(seed: int) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=(260, 2)).astype("f")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the plugin, which this process imports once and forgets at the end."""
    for registry in (baselines, datasets):
        registry.load()
    before = [(registry, dict(registry.so_far())) for registry in (baselines, datasets)]
    path = list(sys.path)
    yield tmp_path_factory.mktemp("stale")
    for registry, entries in before:
        registry._entries = entries
    sys.path[:] = path
    sys.modules.pop("helper_of_mine", None)


@pytest.fixture
def folder(template: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    """One finished run; the next test finds it as the first did."""
    there = Folder(template)
    kept = template.with_name(template.name + "-kept")
    if not kept.exists():
        write_suite(template, SUITE)
        there.plugin.write_text(PLUGIN, encoding="utf-8")
        there.helper.write_text(HELPER, encoding="utf-8")
        numpy.save(there.data, written(0))
        there.call(capsys)
        shutil.copytree(template, kept)
    else:
        shutil.rmtree(template)
        shutil.copytree(kept, template)
    return there


def test_nothing_to_do_after_a_comment(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.edit(folder.plugin, "    def velocity", "    # of the ODE\n    def velocity")
    assert folder.call(capsys).startswith("nothing to do: 1 of 1")
    plugins = folder.record("train")["plugins"]
    assert isinstance(plugins, dict) and {str(folder.plugin), str(folder.helper)} == set(plugins)


def test_an_edited_velocity_repeats_the_evaluation(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.finished()
    folder.edit(folder.plugin, "lambda t, x: net", "lambda t, x: 2 * net")
    for action in ("--status", "--dry-run"):
        assert "likelihood: measured by older code (mine.py: Mine.velocity)" in folder.call(capsys, action)
    table = read_frame(folder.root)
    assert set(table.stale) == {""}  # the plan has not been asked for since
    out = folder.call(capsys)
    assert "stale: " in out and "mine.py: Mine.velocity" in out and "1 runs to do" in out
    assert "its curve was measured under another evaluation" in out
    now = folder.finished()
    assert now["train"] == before["train"] and now["likelihood"] != before["likelihood"]
    table = read_frame(folder.root)
    assert set(table.stale) == {""} and table.step.isna().all()
    page = (folder.root / "report.html").read_text(encoding="utf-8")
    assert "its curve was measured under another evaluation" in page
    assert "nothing to do" in folder.call(capsys)


def test_an_edited_helper_repeats_the_training(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.edit(folder.helper, "1.0", "2.0")
    (run_folder,) = (folder.root / "runs").iterdir()
    out = folder.call(capsys)
    assert "train, likelihood: measured by older code (helper_of_mine.py: SCALE)" in out
    log = (run_folder / "log.txt").read_text(encoding="utf-8")
    assert "set aside: checkpoint.older.pt, likelihood.older.json, train.older.json" in log and "resumed" not in log
    assert "nothing to do" in folder.call(capsys)


def test_a_report_lists_what_is_stale_and_has_none_of_its_values(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.edit(folder.helper, "1.0", "2.0")
    folder.call(capsys, "--report")
    table = read_frame(folder.root)
    assert set(table.status) == {"missing"} and table.value.isna().all()
    assert all("measured by older code (helper_of_mine.py: SCALE)" in reason for reason in table.stale)


def test_stale_records_can_be_vouched_for(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.finished()
    folder.edit(folder.helper, "1.0", "1.0 + 0")
    assert "2 records" in folder.call(capsys, "--keep-stale")
    assert folder.finished() == before and folder.record("train")["vouched"]
    assert folder.call(capsys).startswith("nothing to do")
    out = folder.call(capsys, "--set", "evaluation.likelihood.n=10")
    assert "likelihood: measured under other settings" in out and folder.finished()["train"] == before["train"]
    (run_folder,) = (folder.root / "runs").iterdir()
    assert "resumed at step 4" in (run_folder / "log.txt").read_text(encoding="utf-8")


def test_other_data_under_the_same_name_are_measured_again(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.finished()
    later = time.time() + 5
    os.utime(folder.data, (later, later))
    assert folder.call(capsys).startswith("nothing to do")  # touched, and looked at
    numpy.save(folder.data, written(1))
    out = folder.call(capsys)
    assert f"measured from another {folder.data}" in out
    now = folder.finished()
    assert all(now[stage] != before[stage] for stage in before)
    assert folder.call(capsys).startswith("nothing to do")


def test_a_report_that_is_older_than_a_record_is_made_again(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = folder.root.glob("runs/*/likelihood.json")
    os.utime(path, ns=(time.time_ns(), time.time_ns()))  # as if another process had written it
    assert folder.call(capsys).startswith("report: ")
    assert folder.call(capsys).startswith("nothing to do")


def test_settings_of_before_are_current_again_when_they_are_asked_for(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.call(capsys, "--set", "training.lr=0.01")
    table = read_frame(folder.root)
    assert table.groupby("variant").current.first().sum() == 1 and table.variant.nunique() == 2
    first = table[table.current].variant.iloc[0]
    assert folder.call(capsys).startswith("report: ")  # all is finished, and the report is of the other plan
    table = read_frame(folder.root)
    assert table[table.current].variant.nunique() == 1 and table[table.current].variant.iloc[0] != first


def test_an_interrupted_training_is_not_gone_on_from_with_older_code(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder,) = (folder.root / "runs").iterdir()
    (run_folder / "train.json").unlink()
    (run_folder / "log.txt").unlink()
    folder.edit(folder.helper, "1.0", "2.0")
    folder.call(capsys)
    log = (run_folder / "log.txt").read_text(encoding="utf-8")
    assert "of older code" in log and "resumed" not in log and (run_folder / "checkpoint.older").exists()
