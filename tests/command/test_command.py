"""The command: complaints of one line, a first and a second call, two at once, failures and their retry."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
from tiny import SUITE, runs, write_suite

import run_all
from bench.command import dry_run
from bench.command.actions import planned
from bench.command.columns import WIDTH
from bench.command.listing import SET_BY, SEVEN
from bench.config.settings import Stage
from bench.records.files import write_atomic
from bench.records.frame import read_frame
from bench.records.locks import locked

REPOSITORY = Path(__file__).parents[2]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, called in this process."""
    capsys.readouterr()
    try:
        code = run_all.main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def command(*arguments: str, core: int = 0) -> "subprocess.Popen[str]":
    """The command in a process of its own, on one core: hence with one worker of one thread."""
    cores = os.sched_getaffinity(0)
    call = [sys.executable, str(REPOSITORY / "run_all.py"), *arguments]
    os.sched_setaffinity(0, {sorted(cores)[core % len(cores)]})  # which a process inherits
    try:
        return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        os.sched_setaffinity(0, cores)


# Help.


def cpu_seconds() -> float:
    """What processes that have ended took, which no other load changes much."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


@pytest.mark.slow
def test_help_is_immediate_and_imports_nothing_heavy() -> None:
    before = cpu_seconds()
    out, _ = command("--help").communicate(timeout=30)
    assert "--suite" in out and "--baselines" in out
    assert cpu_seconds() - before < 0.5
    script = "import sys, run_all\ntry: run_all.main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    assert ended.returncode == 0
    for heavy in ("torch", "numpy", "pandas", "pydantic", "rich", "submitit"):
        assert f"'{heavy}'" not in ended.stdout


def test_seconds_alone_can_be_the_budget(tmp_path: Path) -> None:
    asked = ["--suite", str(write_suite(tmp_path)), "--set", "training.steps=", "--set", "training.seconds=60"]
    _, _, runs = planned(run_all.parser().parse_args(asked))
    assert [(run.training.steps, run.training.seconds) for run in runs] == [(None, 60.0)] * 2


# Complaints.

BAD = {
    "suite": (["--suite", "quik"], ["suite 'quik'", "known: ", "did you mean 'quick'"]),
    "file of a suite": (["--suite", "none.toml"], ["--suite none.toml", "no such file"]),
    "baseline": (["--baselines", "fm_to"], ["baseline 'fm_to'", "did you mean 'fm_ot'"]),
    "one of the baselines": (["--baselines", "ddpm,fm_to"], ["baseline 'fm_to'", "did you mean 'fm_ot'"]),
    "no baseline": (["--baselines", ","], ["nothing to run", "--baselines"]),
    "dataset": (["--datasets", "checkerbord"], ["--datasets", "'checkerbord'", "did you mean 'checkerboard'"]),
    "dataset of another suite": (["--datasets", "moons"], ["--datasets", "'moons'", "known: checkerboard"]),
    "seeds": (["--seeds", "0,one"], ["--seeds", "'0,one'", "whole numbers"]),
    "seed below zero": (["--seeds", "-1"], ["--seeds", "'-1'", "from 0"]),
    "seed beyond a record": (["--seeds", str(2**63)], ["--seeds", str(2**63), "2^63 - 1"]),
    "protocol": (["--protocol", "paper"], ["--protocol paper", "smoke"]),
    "no value": (["--set", "training.steps"], ["--set training.steps", "KEY=VALUE"]),
    "no key": (["--set", "=3"], ["--set =3", "KEY=VALUE"]),
    "key": (["--set", "steps=5"], ["--set steps=5", "training.KEY", "fm_ot"]),
    "part of a run": (["--set", "training=5"], ["--set training=5", "training.KEY"]),
    "key of training": (["--set", "training.stepz=5"], ["'stepz'", "did you mean 'steps'"]),
    "key to be taken away": (["--set", "training.stepz="], ["training.stepz=", "did you mean 'steps'"]),
    "key that nothing sets": (["--set", "network.widht="], ["network.widht=", "no run here sets it"]),
    "name to be taken away": (["--set", "dataset.name="], ["dataset.name=", "needs a value"]),
    "part to be taken away": (["--set", "training="], ["--set training=", "training.KEY"]),
    "last budget to be taken away": (["--set", "training.steps="], ["a budget is needed"]),
    "type": (["--set", "training.steps=many"], ["training.steps", "'many'", "valid integer"]),
    "digits": (["--set", "training.steps=" + "1" * 5000], ["--set training.steps=1111", "64 bits"]),
    "digits of a seed": (["--seeds", "1" * 5000], ["--seeds", "whole numbers"]),
    "fraction": (["--set", "training.steps=2.5"], ["training.steps", "2.5", "valid integer"]),
    "range": (["--set", "training.lr=0"], ["training.lr", "0", "greater than 0"]),
    "rate without end": (["--set", "training.lr=inf"], ["training.lr", "inf", "finite number"]),
    "width": (["--set", "network.width=0"], ["network mlp", "width = 0", "greater than 0"]),
    "choice": (["--set", "training.optimizer=sgd"], ["training.optimizer", "'sgd'", "'adam' or 'adamw'"]),
    "stage": (["--set", "evaluation.sample.n=5"], ["'sample'", "did you mean 'samples'"]),
    "value of a stage": (["--set", "evaluation.samples=5"], ["evaluation.samples", "5"]),
    "option of a network": (["--set", "network.widht=5"], ["network mlp", "'widht'", "did you mean 'width'"]),
    "network": (["--set", "network.name=mpl"], ["network 'mpl'", "mlp"]),
    "choice of an option": (["--set", "network.activation=relu"], ["activation = 'relu'", "'silu'"]),
    "option of a dataset": (["--set", "dataset.n=5"], ["dataset checkerboard", "'n'", "n_train"]),
    "option of a baseline": (["--set", "fm_ot.sigma=0.1"], ["baseline fm_ot", "'sigma'", "sigma_min"]),
    "type of an option": (["--set", "fm_ot.sigma_min=thin"], ["fm_ot", "sigma_min = 'thin'", "valid number"]),
    "solver": (["--set", "evaluation.samples.solver.method=rk5"], ["'rk5'", "allowed are dormand_prince"]),
    "solver of the sweep": (["--set", 'evaluation.sweep.solvers=["ruler"]'], ["'ruler'", "did you mean 'euler'"]),
    "few workers": (["--workers", "0"], ["--workers 0", "at least 1"]),
    "type of workers": (["--workers", "two"], ["--workers", "'two'"]),
    "device": (["--device", "tpu"], ["--device", "'tpu'", "cpu", "cuda"]),
    "cluster": (["--cluster", "cloud"], ["--cluster", "'cloud'", "local", "slurm"]),
    "file of a plugin": (["--plugin", "missing.py"], ["--plugin missing.py", "no such file"]),
    "module of a plugin": (["--plugin", "no_such_module"], ["--plugin no_such_module", "ModuleNotFoundError"]),
    "option": (["--sweet", "quick"], ["--sweet"]),
    "two actions": (["--status", "--report"], ["--report", "--status"]),
    "report of nothing": (["--report"], ["--report", "no records", "--results"]),
    "partition of this machine": (["--partition", "gpu"], ["--partition gpu", "--cluster slurm"]),
    "array of this machine": (["--max-parallel", "2"], ["--max-parallel 2", "--cluster slurm"]),
    "sbatch option of this machine": (["--sbatch", "account=a"], ["--sbatch account=a", "--cluster slurm"]),
    "hours": (["--cluster", "slurm", "--hours", "0"], ["hours", "0"]),
    "cores of a task": (["--cluster", "slurm", "--cpus", "0"], ["cpus = 0: ", "greater than 0"]),
    "sbatch option": (["--cluster", "slurm", "--sbatch", "account"], ["--sbatch account", "KEY=VALUE"]),
    "sbatch option of ours": (["--cluster", "slurm", "--sbatch", "time=3"], ["'time'", "set by the harness"]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_call_is_one_line_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    arguments, words = BAD[what]
    results = tmp_path / "results"
    code, out, err = call(capsys, "--suite", str(write_suite(tmp_path)), "--results", str(results), *arguments)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("run_all.py: error: "), err
    for word in words:
        assert word in err, err
    assert not results.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    suite = str(write_suite(tmp_path))
    code, _, err = call(capsys, "--suite", suite, "--results", str(results), "--device", "cuda")
    assert (
        code == 2 and err == "run_all.py: error: --device cuda: torch finds no GPU here; allowed here: --device cpu\n"
    )
    assert not results.exists()


def test_slurm_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results = tmp_path / "results"
    code, _, err = call(capsys, "--suite", str(write_suite(tmp_path)), "--results", str(results), "--cluster", "slurm")
    assert code == 2 and err.count("\n") == 1 and "sbatch is not on PATH" in err
    assert not results.exists()


def test_results_that_are_a_file_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").write_text("mine")
    suite = str(write_suite(tmp_path))
    for action in ([], ["--dry-run"], ["--status"], ["--report"]):
        code, _, err = call(capsys, "--suite", suite, "--results", str(tmp_path / "results"), *action)
        assert code == 2 and err.count("\n") == 1 and str(tmp_path / "results") in err and "archive" in err
    assert (tmp_path / "results").read_text() == "mine"


# Looking without running.


def test_dry_run_says_what_would_run_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    suite = str(write_suite(tmp_path))
    code, out, err = call(capsys, "--suite", suite, "--results", str(results), "--dry-run", "--seeds", "0,1")
    assert (code, err) == (0, "") and not results.exists()
    head, *cells, last = out.splitlines()
    assert head.split("  ")[0] == "state" and last == "4 of 4 runs would start"
    assert len(cells) == 2 and max(map(len, cells)) <= WIDTH
    _, first, _ = call(capsys, "--suite", suite, "--dry-run", "--seeds", "0,1", "--baselines", "fm_ot")[1].splitlines()
    cell = "checkerboard n_train=256 n_test=40", "fm_ot", "mlp width=8 depth=1", "0,1", "6 steps"
    assert re.split("  +", first) == ["would run", *cell, "train likelihood samples"]


def test_a_dry_run_as_json_has_an_object_per_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_of = ("--suite", str(write_suite(tmp_path)), "--results", str(tmp_path / "r"))
    code, out, err = call(capsys, *call_of, "--dry-run", "--json", "--seeds", "0,1")
    found = json.loads(out)
    assert (code, err) == (0, "") and [entry["state"] for entry in found] == ["would run"] * 4
    assert [entry["config"]["seed"] for entry in found] == [0, 1, 0, 1]
    assert found[0]["missing"] == ["train", "likelihood", "samples"]
    assert found[0]["run_id"].startswith("checkerboard-fm_ot-")
    code, out, err = call(capsys, *call_of, "--json")
    assert code == 2 and out == "" and err.endswith("error: --json: needs --dry-run or --estimate\n")


@pytest.mark.parametrize(
    "action", [["--list"], ["--check"], ["--status"], ["--report"], ["--fetch"], ["--export", "x"], ["--samples", "x"]]
)
@pytest.mark.parametrize(
    "option, needs",
    [
        (["--json"], "--json: needs --dry-run or --estimate"),
        (["--merge", "x"], "--merge x: needs --archive FILE.tar.xz"),
    ],
)
def test_an_option_of_other_actions_is_refused(
    capsys: pytest.CaptureFixture[str], action: list[str], option: list[str], needs: str
) -> None:
    assert call(capsys, *option, *action) == (2, "", f"run_all.py: error: {needs}\n")


def test_seeds_that_stand_otherwise_have_a_line_of_their_own(tmp_path: Path) -> None:
    first, second, third = runs(tmp_path, seeds=[0, 1, 2], baselines=["fm_ot"])
    state = {first.run_id: "finished", second.run_id: "would run", third.run_id: "would run"}
    missing: dict[str, list[Stage]] = {
        first.run_id: [],
        second.run_id: ["likelihood"],
        third.run_id: ["likelihood"],
    }
    _, *found = dry_run.lines([first, second, third], state, missing)
    assert [(line.split()[0], re.split("  +", line)[4], line.split()[-1]) for line in found] == [
        ("finished", "0", "none"),
        ("would", "1,2", "likelihood"),
    ]


def test_a_dry_run_checks_what_a_run_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = str(write_suite(tmp_path))
    code, out, err = call(capsys, "--suite", suite, "--dry-run", "--set", "network.widht=5")
    assert code == 2 and out == "" and "did you mean 'width'" in err


@pytest.mark.slow
def test_list_says_what_every_entry_of_the_seven_registries_is_and_is_quick() -> None:
    before = cpu_seconds()
    out, _ = command("--list").communicate(timeout=60)
    assert cpu_seconds() - before < 3
    listed = {part.partition(":")[0]: part.splitlines()[1:] for part in re.split(r"\n(?=\w)", out)}
    kinds = ("datasets", "networks", "baselines", "samplers", "metrics", "figures", "papers")
    assert list(listed) == ["suites", *kinds]
    for registry in SEVEN:
        lines = dict(line.split(maxsplit=1) for line in listed[f"{registry.kind}s"])
        assert sorted(lines) == list(registry)


@pytest.mark.usefixtures("own_baselines")
def test_list_says_what_a_plugin_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    _, out, _ = call(capsys, "--plugin", str(tmp_path / "fragile.py"), "--list")
    assert "  fragile         Fragile: A method that works once a file is there.\n" in out


def test_list_of_a_name_says_the_options_of_all_that_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "--list", "edm")
    method, sampler = out.split("sampler edm: Heun's method with churn of Karras et al. (NeurIPS 2022")
    assert method.startswith("baseline edm: EDM: a denoiser") and "\n  --set edm.OPTION=VALUE\n" in method
    assert "\n  labels         false\n" in method and "\n  guidance     1.0\n" in sampler
    _, out, _ = call(capsys, "--list", "ot_cfm")
    assert '\n  coupling        "exact"  ("independent", "exact", "drawn", "sinkhorn")\n' in out
    _, out, _ = call(capsys, "--list", "points")
    assert "\n  --set dataset.OPTION=VALUE\n  path        needed\n" in out and "\n  columns     none\n" in out
    for name in sorted({name for registry, _ in SET_BY for name in registry}):
        assert call(capsys, "--list", name)[0] == 0
    code, out, err = call(capsys, "--list", "edn")
    assert code == 2 and out == "" and "--list: unknown name 'edn'" in err and "did you mean 'edm'?" in err


def test_status_of_what_has_not_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    code, out, _ = call(capsys, "--suite", str(write_suite(tmp_path)), "--results", str(results), "--status")
    assert code == 0 and out.splitlines()[-1] == "2 missing" and not results.exists()


def test_a_value_is_read_as_toml_and_else_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "training.lr=1e-2", "--set", "training.decay=linear", "--set", "network.width=16"]
    code, out, _ = call(capsys, "--suite", str(write_suite(tmp_path)), "--dry-run", *settings)
    assert code == 0 and "mlp width=16 depth=1" in out


# Running: two commands at once on one folder, then once more.

SMOKE = ("--suite", "smoke", "--datasets", "checkerboard", "--baselines", "fm_ot,score_matching")
SMOKE += (
    "--set",
    "evaluation.likelihood.n=20",
    "--set",
    "evaluation.samples.n=200",
    "--set",
    "training.curve_points=1",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two commands that were started together."""
    folder = tmp_path_factory.mktemp("command") / "results"
    with warm.interpreters():
        both = [command(*SMOKE, "--results", str(folder), "--data-dir", str(folder / "data"), core=i) for i in range(2)]
        for process in both:
            out, err = process.communicate(timeout=180)
            assert process.returncode == 0, out + err
    return folder


@pytest.mark.slow
def test_two_commands_at_once_leave_whole_records(results: Path) -> None:
    table = read_frame(results / "smoke")
    assert set(table.status) == {"ok"} and len(set(table.run_id)) == 2
    assert set(table.baseline) == {"fm_ot", "score_matching"}
    for run_id in set(table.run_id):
        assert set(table[table.run_id == run_id].stage) == {"train", "likelihood", "samples", "sweep"}
    assert table.value.notna().all()
    leftovers = [p.name for p in (results / "smoke").rglob(".*") if p.is_file()]
    assert set(leftovers) <= {".plan.lock", ".reported"}, leftovers
    plan = json.loads((results / "smoke" / "plan.json").read_text())
    assert sorted(entry["run_id"] for entry in plan["runs"]) == sorted(set(table.run_id))


@pytest.mark.slow
def test_two_commands_at_once_do_each_run_once(results: Path) -> None:
    for folder in (results / "smoke" / "runs").iterdir():
        lines = [line.split(" ", 2)[2] for line in (folder / "log.txt").read_text().splitlines()]
        for stage in ("train", "likelihood", "samples", "sweep", "ok"):
            assert lines.count(stage) == 1, folder


@pytest.mark.slow
def test_the_report_is_there(results: Path) -> None:
    page = (results / "smoke" / "report.html").read_text()
    assert "FM w/ OT" in page and "Score Matching" in page


@pytest.mark.slow
def test_a_second_call_has_nothing_to_do_and_says_so_at_once(results: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (results / "smoke").rglob("*") if p.is_file()}
    begun = cpu_seconds()
    subprocess.run([sys.executable, "-c", "import torch"], check=True, timeout=60)
    imported = cpu_seconds()
    process = command(*SMOKE, "--results", str(results))
    out, _ = process.communicate(timeout=60)
    assert cpu_seconds() - imported < 3 * (imported - begun)  # 1.9 measured
    assert process.returncode == 0 and out.startswith("nothing to do: 2 of 2 runs are finished in ")
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_parts_left_by_a_kill_after_the_last_record_go_with_the_next_call(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = next((results / "smoke" / "runs").iterdir()) / "partial-0a1b2c-sweep"
    left.mkdir()
    with locked(left.parent / "lock") as mine:  # by the run at work
        assert mine and call(capsys, *SMOKE, "--results", str(results))[0] == 0
    assert left.exists()
    code, out, _ = call(capsys, *SMOKE, "--results", str(results))
    assert code == 0 and out.startswith("nothing to do") and not left.exists()


@pytest.mark.slow
def test_a_report_removes_what_a_killed_one_left(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A temporary file is its process's: the one that has just ended."""

    def killed(temporary: Path) -> None:
        left.append(temporary.rename(temporary.with_name(temporary.name.replace(f".{os.getpid()}.", f".{ended.pid}."))))

    left: list[Path] = []
    ended = subprocess.Popen(["true"])
    ended.wait()
    for path in (results / "smoke" / "table.md", results / "smoke" / "plots" / "gone.png"):
        with pytest.raises(FileNotFoundError):
            write_atomic(path, killed)
    assert all(path.exists() for path in left)
    assert call(capsys, *SMOKE, "--results", str(results), "--report")[0] == 0
    assert len(left) == 2 and not any(path.exists() for path in left)


@pytest.mark.slow
def test_status_of_what_is_finished(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, *SMOKE, "--results", str(results), "--status")
    assert code == 0 and out.splitlines()[-1] == "2 ok"


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        ("--nodes", "2"),
        ("--cluster", "slurm", "--hours", "-3"),
        ("--set", "evaluation.samples.solver.method=rk5"),
        ("--set", 'evaluation.sweep.solvers=["ruler"]'),
    ],
)
def test_a_bad_call_beside_finished_runs_is_one_line(
    results: Path, capsys: pytest.CaptureFixture[str], bad: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, *SMOKE, "--results", str(results), *bad)
    assert code == 2 and out == "" and err.count("\n") == 1, err


@pytest.mark.slow
def test_another_evaluation_would_run_and_another_seed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def last_line(*more: str) -> str:
        return call(capsys, *SMOKE, "--results", str(results), "--dry-run", *more)[1].splitlines()[-1]

    assert last_line() == "0 of 2 runs would start"
    assert last_line("--set", "evaluation.samples.w2_n=150") == "2 of 2 runs would start"
    assert last_line("--seeds", "0,1") == "2 of 4 runs would start"


@pytest.mark.slow
def test_the_report_alone_is_a_function_of_the_records(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = results / "smoke" / "report.html"
    page.unlink()
    code, out, _ = call(capsys, *SMOKE, "--results", str(results), "--report")
    assert code == 0 and page.exists() and str(page) in out


# Running: a failure, left alone and then retried.

FRAGILE = """
'''A method that works once a file is there.'''
from dataclasses import dataclass
from pathlib import Path
from bench.methods.flow import FlowBaseline, mean_square, noise
from bench.methods.baseline import register_baseline

@register_baseline("fragile", label="Fragile")
@dataclass(frozen=True)
class Fragile(FlowBaseline):
    def loss(self, net, x1, rng):
        if not (Path(__file__).parent / "mended").exists():
            raise RuntimeError("not mended yet")
        return mean_square(net(noise(x1, rng)[:, 0], x1))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("own_baselines", "warm_interpreters")
def test_a_failure_costs_itself_alone_and_is_retried_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    suite = write_suite(tmp_path, SUITE.replace('"fm_ot", "ddpm"', '"fragile", "fm_ot"').replace("overrides", "# "))
    arguments = ["--suite", str(suite), "--plugin", str(tmp_path / "fragile.py"), "--device", "cpu"]
    arguments += ["--results", str(tmp_path / "results"), "--data-dir", str(tmp_path / "data")]

    code, out, err = call(capsys, *arguments)
    assert (code, err) == (1, "")
    assert "RuntimeError: not mended yet" in out and "log.txt" in out and "1 failed; --retry runs them again" in out
    root = tmp_path / "results" / "tiny"
    table = read_frame(root)
    assert set(table[table.baseline == "fm_ot"].status) == {"ok"}
    assert list(table[table.baseline == "fragile"].status) == ["failed", "missing", "missing"]
    record = next(root.glob("runs/*fragile*/train.json"))
    written = record.stat().st_mtime_ns

    code, out, _ = call(capsys, *arguments)
    assert code == 1 and out.startswith("nothing to do: 1 of 2") and "not mended yet" in out
    assert record.stat().st_mtime_ns == written
    assert call(capsys, *arguments, "--status")[0] == 1

    (tmp_path / "mended").touch()
    code, out, err = call(capsys, *arguments, "--retry")
    assert (code, err) == (0, "") and "1 runs to do, 1 finished" in out
    assert set(read_frame(root).status) == {"ok"}


# Ranks.

RANKS = {
    "gpus that are not there": (["--gpus", "2"], ["--gpus 2: torch finds no GPU here; allowed here: --device cpu"]),
    "number of gpus": (["--gpus", "-1"], ["--gpus -1: 0 or more"]),
    "number of processes": (["--gpus", "-1", "--device", "cpu"], ["--gpus -1: 0 or more"]),
    "gpus of a node": (["--gpus", "-1", "--cluster", "slurm"], ["gpus = -1: ", "greater than or equal to 0"]),
    "nodes without slurm": (["--nodes", "2"], ["--nodes 2", "--cluster slurm", "allowed here: 1"]),
    "number of nodes": (["--nodes", "0", "--cluster", "slurm"], ["nodes = 0: ", "greater than 0"]),
    "a batch in one piece": (
        ["--gpus", "2", "--device", "cpu"],
        ["--gpus 2: 2 ranks cannot share the 1 micro-batches of training.batch = 16 evenly", "training.micro_batch"],
    ),
    "pieces that do not come out even": (
        ["--gpus", "3", "--device", "cpu", "--set", "training.micro_batch=4"],
        ["--gpus 3: 3 ranks cannot share the 4 micro-batches of training.batch = 16 evenly (checkerboard-fm_ot-"],
    ),
    "micro-batch": (["--set", "training.micro_batch=5"], ["micro_batch = 5 does not divide batch = 16"]),
}


@pytest.mark.parametrize("what", RANKS)
def test_ranks_that_cannot_be_are_one_line_and_start_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    arguments, words = RANKS[what]
    results = tmp_path / "results"
    for action in ([], ["--dry-run"]):
        suite = str(write_suite(tmp_path))
        code, out, err = call(capsys, "--suite", suite, "--results", str(results), *arguments, *action)
        assert code == 2 and out == ""
        assert err.count("\n") == 1 and err.startswith("run_all.py: error: "), err
        for word in words:
            assert word in err, err
        assert not results.exists()


def test_more_gpus_than_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    code, _, err = call(capsys, "--suite", str(write_suite(tmp_path)), "--dry-run", "--gpus", "4")
    assert code == 2 and err == "run_all.py: error: --gpus 4: torch finds 2 GPUs here; allowed here: --gpus 2\n"


def test_the_command_starts_torchrun_and_not_the_reverse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_all, "_started_by_torchrun", lambda: True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    results = tmp_path / "results"
    code, out, err = call(capsys, "--suite", str(write_suite(tmp_path)), "--results", str(results))
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and "started by torchrun" in err and "--gpus 2`" in err
    assert not results.exists()


def test_a_job_of_torchrun_around_the_command_is_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.setenv(variable, "3")
    assert call(capsys, "--suite", str(write_suite(tmp_path)), "--dry-run")[0] == 0


def test_a_dry_run_of_two_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dry-run", "--gpus", "2", "--device", "cpu", "--set", "training.micro_batch=8"]
    code, out, err = call(capsys, "--suite", str(write_suite(tmp_path)), *arguments)
    assert (code, err) == (0, "") and out.splitlines()[-1] == "2 of 2 runs would start"
