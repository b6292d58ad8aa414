"""Samples made elsewhere: what is refused, whose evaluation counts, and how a score lives beside a suite's runs."""

from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
from tiny import SUITE, runs, write_suite

import run_all
from bench.command.elsewhere import _place
from bench.command.parser import parser
from bench.config.components import build_dataset
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.records.archive import write_archive
from bench.records.elsewhere import vouch
from bench.records.frame import read_frame
from bench.records.measurement import Measurement
from bench.records.planned import write_plan
from bench.records.reading import read_planned
from bench.records.records import write_stage
from bench.records.seal import read_json, write_json

CHECKERBOARD = Component(name="checkerboard", options={"n_train": 256, "n_test": 40})
POINTS = np.random.default_rng(0).uniform(-4, 4, (50, 2))


class Command:
    """The command on the tiny suite, with samples in p.npy."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.suite, self.root = str(write_suite(folder)), folder / "results" / "tiny"
        self.save(POINTS)

    def save(self, points: Any) -> None:
        np.save(self.folder / "p.npy", points)

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        place = ("--suite", self.suite, "--results", self.root.parent, "--data-dir", self.folder / "data")
        try:
            code = run_all.main(list(map(str, (*place, *words))))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *self.capsys.readouterr()

    def score(self, *words: object, label: str = "Theirs") -> tuple[int, str, str]:
        return self("--samples", self.folder / "p.npy", "--dataset", "checkerboard", "--label", label, *words)

    def record(self) -> dict[str, Any]:
        (path,) = self.root.glob("runs/*/samples.json")
        return read_json(path)

    @property
    def dataset(self) -> Dataset:
        return build_dataset(CHECKERBOARD, self.folder / "data")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes a second, and is tested once."""
    monkeypatch.setattr("bench.command.actions.report", lambda root, runs: 0)


# Complaints.

ALL = ("--samples", "p.npy", "--dataset", "checkerboard", "--label", "Theirs")
BAD: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "no dataset": (ALL[:2] + ALL[4:], ["--samples, --dataset and --label go together", "there is no --dataset"]),
    "no label": (ALL[:4], ["there is no --label"]),
    "no samples": (ALL[2:], ["--dataset: ", "there is no --samples", "--datasets narrows a suite"]),
    "two labels": ((*ALL, "--label", "Ours"), ["--label: named twice, 'Theirs' and 'Ours'"]),
    "two sets": ((*ALL, "--samples", "q.npy"), ["--samples: named twice"]),
    "another action": ((*ALL, "--report"), ["--samples: cannot be combined with --report"]),
    "archive": ((*ALL, "--archive", "a.tar.xz"), ["cannot be combined with --archive"]),
    "list": ((*ALL, "--list"), ["cannot be combined with --list"]),
    "cluster": ((*ALL, "--cluster", "slurm"), ["cannot be combined with --cluster"]),
    "hours": ((*ALL, "--hours", "2"), ["cannot be combined with --hours"]),
    "seeds": ((*ALL, "--seeds", "1"), ["cannot be combined with --seeds"]),
    "empty label": ((*ALL[:5], " "), ["--label ' '", "1 to 60 characters"]),
    "long label": ((*ALL[:5], "x" * 61), ["1 to 60 characters"]),
    "label of two lines": ((*ALL[:5], "a\nb"), ["--label 'a\\nb'", "printable"]),
    "label of a baseline": ((*ALL[:5], "FM w/ OT"), ["--label 'FM w/ OT'", "the name of a baseline"]),
    "name of a baseline": ((*ALL[:5], "fm_ot"), ["--label 'fm_ot'", "the name of a baseline"]),
    "label of the floor": ((*ALL[:5], "Floor"), ["--label 'Floor'", "a row that every table has"]),
    "floor of a kind": ((*ALL[:5], "floor (as many data)"), ["a row that every table has"]),
    "no path": (("--samples", "", *ALL[2:]), ["--samples '': expected a folder or a file"]),
    "dataset": ((*ALL[:3], "checkerbord", *ALL[4:]), ["dataset 'checkerbord'", "did you mean 'checkerboard'"]),
    "option of a dataset": ((*ALL, "--set", "dataset.n=3"), ["dataset checkerboard", "'n'"]),
    "setting of a training": ((*ALL, "--set", "training.steps=3"), ["--set training.steps", "evaluation.samples.KEY"]),
    "metric": ((*ALL, "--set", "evaluation.samples.metrics=fid"), ["'fid' is for images", "w2"]),
    "protocol": ((*ALL, "--protocol", "paper"), ["--protocol paper", "smoke"]),
    "too few": ((*ALL, "--set", "evaluation.samples.n=60"), ["50 samples", "evaluation.samples.n = 60", "n=50 scores"]),
    "no such file": (("--samples", "q.npy", *ALL[2:]), ["q.npy: no such folder or file"]),
    "a folder": (("--samples", ".", *ALL[2:]), ["a folder; checkerboard has points"]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_call_is_one_line_and_writes_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(command.folder)
    words, told = BAD[what]
    code, out, err = command(*words)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    for text in told:
        assert text in err, err
    assert not command.root.exists()


# Whose evaluation.


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("digits",), ("quick", "small", 512)),
        (("cifar10",), ("cifar10", "small", 10_000)),
        (("cifar10", "--protocol", "paper"), ("cifar10", "paper", 50_000)),
        (("mnist",), ("images", "small", 256)),
        (("cifar10", "--suite", "quick"), ("quick", "small", 10_000)),
        (("cifar10", "--suite", "toys"), ("toys", "small", 10_000)),  # which has it not: the usual settings
        (("gaussian",), ("quick", "small", 10_000)),  # which no suite has
        (("gaussian", "--protocol", "smoke", "--set", "evaluation.samples.n=7"), ("quick", "smoke", 7)),
    ],
)
def test_the_suite_that_has_the_data_says_how_it_is_evaluated(
    words: tuple[str, ...], place: tuple[str, str, int]
) -> None:
    found = _place(parser().parse_args(["--samples", "x", "--label", "y", "--dataset", *words]))
    assert (found.name, found.protocol, found.samples.n) == place and found.dataset.name == words[0]


# A score.


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_points_score_as_pot_has_them_and_of_their_model_nothing_is_known(command: Command) -> None:
    code, out, err = command.score()
    assert (code, err) == (0, "") and "the first 40 of 50 samples, in order, by suite tiny, protocol smoke" in out
    record = command.record()
    rows = {row["metric"]: row for row in record["measurements"]}
    x, y = POINTS[:20].astype(np.float32).astype(float), command.dataset.test[:20].double().numpy()
    cost = ot.emd2([], [], ot.dist(x, y))
    assert rows["w2"]["value"] == pytest.approx(cost**0.5, rel=1e-6) and rows["w2"]["n"] == 20
    assert rows["w2"]["settings"]["sampler"] == "made elsewhere"
    assert rows["w2_floor"]["value"] > 0
    for metric in ("nll_nats", "train_seconds", "nfe_sampling", "path_energy"):
        assert rows[metric]["reason"].startswith("not applicable: made elsewhere")
    origin = {"path": str(command.folder / "p.npy"), "files": 1, "count": 50}
    assert record["elsewhere"].items() >= origin.items() and len(record["elsewhere"]["sha256"]) == 64
    assert record["label"] == "Theirs" and record["copies"] == 0 and record["inputs"] == {}
    assert "bench/metrics/w2.py" in record["sources"] and not {*record["sources"]} & {"bench/training/trainer.py"}


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_a_score_is_kept_replaced_and_measured_again(command: Command) -> None:
    command.score()
    write_plan(command.root, "", runs(command.folder))  # as any later call of the suite does
    assert command.score()[1].startswith("nothing to do: 'Theirs' on checkerboard is scored in ")
    first = command.record()
    assert f"ok       {first['run_id']}\n2 missing, 1 ok\n" in command("--status")[1].replace("\n\n", "\n")

    def current() -> dict[str, bool]:
        return {entry["run_id"]: entry["current"] for entry in read_planned(command.root)[0]}

    command.score("--set", "evaluation.samples.w2_n=10")  # another evaluation of the same samples
    assert command.record()["run_id"] == first["run_id"] and command.record()["fingerprint"] != first["fingerprint"]
    assert sum(current().values()) == 3
    command.score(label="Others'")
    assert sum(current().values()) == 4
    command.save(POINTS + 0.1)
    command.score()
    assert len(current()) == 5 and [i for i, is_current in current().items() if not is_current] == [first["run_id"]]
    frame = read_frame(command.root)
    assert set(frame[frame.metric == "w2"].label) == {"Theirs", "Others'"}


@pytest.mark.usefixtures("unreported")
def test_a_score_under_each_protocol_is_kept(command: Command) -> None:
    write_suite(command.folder, SUITE + "protocols.small = { training.steps = 7 }\n")
    for protocol in ("smoke", "small"):
        assert command.score("--protocol", protocol)[0] == 0
    assert command.score("--protocol", "smoke")[1].startswith("nothing to do")
    frame = read_frame(command.root)
    w2 = frame[frame.metric == "w2"]
    assert sorted(zip(w2.protocol, w2.n, strict=True)) == [("small", 20), ("smoke", 20)] and w2.run_id.nunique() == 2


@pytest.mark.usefixtures("unreported")
def test_a_score_by_older_code_is_stale_until_it_is_measured_again(command: Command) -> None:
    command.score()
    (path,) = command.root.glob("runs/*/samples.json")
    write_json(path, {**read_json(path), "code": "0" * 16})
    out = command("--status")[1]
    assert f"stale: {path.parent.name} samples: measured by older code" in out and "1 stale" in out
    write_plan(command.root, "", runs(command.folder))
    rows = read_frame(command.root)
    assert rows[rows.stale != ""].stale.tolist() == ["measured by older code"]
    before = read_json(path)
    assert vouch(command.root) == 1 and vouch(command.root) == 0  # as --keep-stale does
    assert "1 ok" in command("--status")[1]
    write_json(path, before)
    assert command.score()[1].startswith("'Theirs' on checkerboard")
    assert "1 ok" in command("--status")[1]


@pytest.mark.usefixtures("unreported")
def test_what_was_lost_is_measured_again_by_retry(command: Command) -> None:
    command.score()
    (path,) = command.root.glob("runs/*/samples.json")
    record = read_json(path)
    rows = [{**row, "value": float("nan"), "reason": "out of memory: 3"} for row in record["measurements"]]
    write_json(path, {**record, "measurements": rows})
    assert command.score()[1].startswith("nothing to do")
    command.score("--retry")
    assert not [row for row in command.record()["measurements"] if str(row["reason"]).startswith("out of memory")]


@pytest.mark.usefixtures("unreported")
def test_copies_are_said(command: Command) -> None:
    command.save(POINTS[[*range(30), *range(20)]])
    assert "note: 10 of 40 samples (25.0%) are copies of earlier ones" in command.score()[1]


@pytest.mark.slow
def test_its_row_stands_in_the_columns_of_trained_ones_and_in_archives(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trained row has more settings (sampler, weights), which are not known of what was made elsewhere."""
    monkeypatch.setattr("bench.report.build.figures", lambda root, sections: [])
    command.score("--set", "evaluation.samples.n=50")
    score = command.record()
    ((w2, settings),) = [(row["value"], row["settings"]) for row in score["measurements"] if row["metric"] == "w2"]
    drawn = {"sampler": "dormand_prince", "rtol": 1e-5, "atol": 1e-5, "batch": 40, "weights": "ema"}
    shared = {key: value for key, value in settings.items() if key not in ("sampler", "options")}
    run, _ = runs(command.folder)
    facts = {"label": "FM w/ OT", "dataset_version": score["dataset_version"], "device": "cpu"}
    write_stage(command.root, run, "train", [Measurement("train_seconds", 2.0)], facts)
    write_stage(command.root, run, "samples", [Measurement("w2", 0.5, n=20, settings=drawn | shared)], facts)
    write_plan(command.root, "", [run])
    assert command("--report")[0] == 0
    table = (command.root / "table.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    quality = next(line for line in lines if "made elsewhere" in line)
    *_, header = (line for line in lines[: lines.index(quality)] if any("W₂" in title for title in line))
    assert sum("W₂" in title for title in header) == 1
    assert quality[0] == "Theirs" and quality[header.index("W₂ ↓")].strip("*≈ ") == f"{w2:.4g}"
    assert f"- Theirs: made elsewhere (50 samples in 1 file, SHA-256 {score['elsewhere']['sha256'][:12]})." in table
    assert "– of Theirs: not applicable: made elsewhere, so the model and what it cost are not known." in table
    assert "Theirs" in (command.root / "report.html").read_text(encoding="utf-8")
    archive = command.folder / "a.tar.xz"
    write_archive([command.root], archive)
    command.capsys.readouterr()
    run_all.main(["--results", str(archive), "--status"])
    assert f"ok       {score['run_id']}" in command.capsys.readouterr().out
