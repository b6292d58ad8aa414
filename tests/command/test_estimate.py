"""`--estimate`: a line per cell, what is left out, a cell that fails, and a table of 120 columns."""

import json
from pathlib import Path

import pytest
from tiny import SUITE, runs, write_suite

import run_all
from bench.command import estimate
from bench.command.columns import WIDTH
from bench.command.estimate import NOT_COUNTED
from bench.config.settings import Component
from bench.estimate import cells as cells_module
from bench.estimate.build import dataset
from bench.estimate.cells import Cell, Place, cells_of, time_cell
from bench.estimate.metrics import OfSamples
from bench.records.records import write_stage


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run_all.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The cells that were timed, of which each stage takes an hour."""
    timed: list[Cell] = []

    def an_hour(cell: Cell, *_: object) -> None:
        timed.append(cell)
        cell.seconds = dict.fromkeys(cell.runs[0].stages, 3600.0)

    monkeypatch.setattr(cells_module, "time_cell", an_hour)
    return timed


def test_hours_by_stage_and_in_all(tmp_path: Path, capsys: pytest.CaptureFixture[str], counted: list[Cell]) -> None:
    suite, results = str(write_suite(tmp_path)), tmp_path / "r"
    arguments = ("--suite", suite, "--results", str(results), "--estimate", "--seeds", "0,1,2", "--workers", "2")
    code, out, err = call(capsys, *arguments)
    lines = out.splitlines()
    assert (code, err) == (0, "") and len(counted) == 2 and not results.exists()
    assert lines[0].startswith("2 cells, timed on this machine's cpu (") and lines[1] == "6 of 6 runs would start"
    assert lines[3].split()[0] == "fm_ot" and lines[3].split()[-9:] == ["3", *["3.0", "h"] * 3, "9.0", "h"]
    assert lines[5].split() == ["all", "6", *["6.0", "h"] * 3, "18", "h"]
    assert lines[6] == "about 18 worker hours in all; about 9.0 h with 2 workers, and 3.0 h the longest run"
    assert max(map(len, lines)) <= WIDTH
    code, out, _ = call(capsys, *arguments, "--json")
    found = json.loads(out)
    assert found["seconds"] == {"train": 21600, "likelihood": 21600, "samples": 21600}
    assert found["wall_seconds"] == 9 * 3600 and [len(cell["runs"]) for cell in found["cells"]] == [3, 3]


def test_finished_runs_and_stages_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counted: list[Cell]
) -> None:
    first, second, _ = runs(tmp_path, baselines=["fm_ot"], seeds=[0, 1, 2])
    root = tmp_path / "r" / "tiny"
    for stage in first.stages:
        write_stage(root, first, stage, [], {"label": "FM"})
    write_stage(root, second, "train", [], {"label": "FM"})
    arguments = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "r"), "--baselines", "fm_ot"]
    code, out, _ = call(capsys, *arguments, "--seeds", "0,1,2", "--estimate")
    assert code == 0 and "2 of 3 runs would start; left out: 1 finished\n" in out
    assert out.splitlines()[3].split()[-9:] == ["2", "60", "min", "2.0", "h", "2.0", "h", "5.0", "h"]
    assert [run.run_id for run in counted[0].finished] == [first.run_id]
    code, out, _ = call(capsys, *arguments, "--seeds", "0", "--estimate")
    assert (code, out) == (0, "0 of 1 runs would start; left out: 1 finished\n")
    code, out, _ = call(capsys, *arguments, "--seeds", "0", "--estimate", "--json")
    found = json.loads(out)
    assert code == found["wall_seconds"] == found["workers"] == 0
    assert found["seconds"] == {} and found["cells"] == found["not_timed"] == []
    assert len(counted) == 1


def test_sums_say_which_runs_they_are_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(cell: Cell, *_: object) -> None:
        print("said by a library")
        if cell.runs[0].baseline.name in failing:
            cell.failed = "ValueError: no"
        else:
            cell.seconds = dict.fromkeys(cell.runs[0].stages, 3600.0)

    monkeypatch.setattr(cells_module, "time_cell", refused)
    suite = ("--suite", str(write_suite(tmp_path)), "--results", str(tmp_path / "r"), "--seeds", "0,1", "--estimate")
    failing = {"fm_ot"}
    code, out, _ = call(capsys, *suite, "--workers", "2")
    *_, whole, sums, without = out.splitlines()[: -len(NOT_COUNTED)]
    assert code == 1 and whole.split()[:2] == ["all", "2"]
    assert sums.startswith("about 6 worker hours in all; about 3.0 h with 2 workers")
    assert without == "without 2 runs that could not be timed"
    code, out, err = call(capsys, *suite, "--json")
    found, planned = json.loads(out), runs(tmp_path, baselines=["fm_ot"], seeds=[0, 1])
    assert found["not_timed"] == [run.run_id for run in planned] and "said by a library" in err
    failing = {"fm_ot", "ddpm"}
    code, out, _ = call(capsys, *suite)
    assert code == 1 and "without 4 runs that could not be timed\n" in out and "worker hours" not in out


@pytest.mark.slow
def test_a_cell_that_fails_is_one_line_and_costs_itself_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_module, "stages", lambda run, *_: dict.fromkeys(run.stages, 3600.0))
    suite = str(write_suite(tmp_path, SUITE + "overrides.fm_ot = { training.flip = true }\n"))
    code, out, err = call(capsys, "--suite", suite, "--results", str(tmp_path / "r"), "--estimate")
    bad, good, whole = out.splitlines()[3:6]
    assert (code, err) == (1, "")
    assert bad.startswith("fm_ot  checkerboard  failed: training.flip = true: checkerboard holds points; only images")
    assert good.startswith("ddpm") and good.split()[-4:-2] == ["3.0", "h"] and whole.split()[-2:] == ["3.0", "h"]
    assert max(map(len, out.splitlines())) <= WIDTH and not (tmp_path / "r").exists()


def test_seeds_and_data_of_equal_sizes_share_a_cell(tmp_path: Path) -> None:
    text = SUITE.replace(
        'dataset = { name = "checkerboard", n_train = 256, n_test = 40 }',
        'dataset = [{ name = "moons", n_train = 256, n_test = 40 }, '
        '{ name = "checkerboard", n_train = 256, n_test = 40 }, { name = "checkerboard", n_train = 256, n_test = 41 }]',
    )
    planned = runs(tmp_path, text, baselines=["fm_ot"], seeds=[0, 1])
    found = cells_of(planned, Place(tmp_path, tmp_path, "cpu", {}))
    assert [[run.dataset.options["n_test"] for run in cell.runs] for cell in found] == [[40] * 4, [41] * 2]


def test_data_that_are_not_here_have_a_stand_in(tmp_path: Path) -> None:
    found, stands_in = dataset(Component(name="cifar10", options={"validation": 100}), tmp_path, 0)
    assert stands_in and found.shape == (3, 32, 32) and found.classes == 10
    assert found.validation is not None
    assert [len(split) for split in (found.train, found.validation, found.test)] == [49_900, 100, 10_000]
    small, stands_in = dataset(Component(name="cifar10_8_to_32"), tmp_path, 0)
    given = small.given_of("test", slice(2))
    assert stands_in and given is not None and given.shape == (2, 3, 32, 32)
    assert not dataset(Component(name="checkerboard", options={"n_train": 8, "n_test": 8}), tmp_path, 0)[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_cell_of_images_is_timed_by_stage_and_writes_nothing(tmp_path: Path) -> None:
    text = SUITE.replace('"checkerboard", n_train = 256, n_test = 40', '"digits"').replace(
        '"mlp", width = 8, depth = 1', '"unet", channels = [8], layers = 1, head_channels = 8'
    )
    (run,) = runs(tmp_path, text, baselines=["ddpm"])
    place = Place(tmp_path / "r", tmp_path / "data", "cpu", {run.run_id: run})
    (cell,) = cells_of([run], place)
    assert cell.dataset is not None
    time_cell(cell, place, OfSamples(cell.dataset, place.data_dir, "cpu"))
    assert not cell.failed and set(cell.seconds) == {"train", "likelihood", "samples"}
    assert all(seconds > 0 for seconds in cell.seconds.values()) and cell.peak > 0
    assert not place.root.exists() and not place.data_dir.exists()


def test_durations_have_the_unit_that_is_read_best() -> None:
    found = [estimate.duration(seconds) for seconds in (0.04, 45, 100, 5000, 12_345, 36_000_000)]
    assert found == ["0.0 s", "45 s", "1.7 min", "83 min", "3.4 h", "10,000 h"]


def test_a_cluster_that_is_not_here_is_estimated_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counted: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ("--suite", str(write_suite(tmp_path)), "--results", str(tmp_path / "r"), "--seeds", "0,1,2")
    code, out, _ = call(capsys, *arguments, "--estimate", "--cluster", "slurm", "--gpus", "1", "--max-parallel", "3")
    assert code == 0 and " instead of the cuda that is asked for in " in out.splitlines()[0]
    assert "about 18 worker hours in all; about 6.0 h with 3 workers, and 3.0 h the longest run\n" in out
    code, out, err = call(capsys, *arguments, "--estimate", "--set", "network.widht=5")
    assert code == 2 and out == "" and err.count("\n") == 1 and "did you mean 'width'" in err
