"""A stranger's afternoon: the wheel in an environment of its own, README's method in a folder of its own, a comparison.

The environment lies inside a checkout of another project, as environments do, and no file of this one can be imported.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest
import torch

from bench.config.registry import baselines, load_plugin

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
# Every stage in seconds: few steps, few samples, and solvers that stop after four steps.
TINY = {
    "training.steps": "20",
    "training.batch": "32",
    "training.curve_points": "0",
    "evaluation.likelihood.n": "16",
    "evaluation.likelihood.batch": "16",
    "evaluation.likelihood.solvers": '[{ method = "midpoint", steps = 4 }]',
    "evaluation.samples.n": "40",
    "evaluation.samples.w2_n": "20",
    "evaluation.samples.path_n": "16",
    "evaluation.samples.path_times": "5",
    "evaluation.samples.solver": '{ method = "midpoint", steps = 4 }',
    "evaluation.sweep": '{ n = 40, solvers = ["euler"], nfe = [4, 8], tolerances = [] }',
}


def readme_method() -> str:
    """The first Python block under the heading "Your own method"."""
    section = (ROOT / "README.md").read_text().split("## Your own method\n", 1)[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]  # type: ignore[index]


@dataclass(frozen=True)
class Newcomer:
    """An environment with the wheel, and an empty folder beside the file of a method."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"

    def call(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BENCH"))}
        core = {min(os.sched_getaffinity(0))}  # hence one worker of one thread
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )

    def bench(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.call(self.python.with_name("flow-matching-bench"), *arguments)

    def asked(self, expression: str) -> object:
        """A JSON value that the installed package gives."""
        script = (
            f"import json, bench, baselines, run_all, sys\nfrom pathlib import Path\nprint(json.dumps({expression}))"
        )
        done = self.call(self.python, "-c", script)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def built(folder: Path) -> Path:
    """The wheel of what is committed here of the package; copied first, for a build leaves files beside its sources."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "run_all.py"):
        copy(ROOT / name, source / name)
    for name in ("bench", "baselines", "results/published"):
        copytree(ROOT / name, source / name, symlinks=True, ignore=ignore_patterns("__pycache__"))
    pip("wheel", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(command: str, *arguments: str | Path, python: Path = Path(sys.executable)) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    call = [sys.executable, "-m", "pip", "--python", python, command, *quiet, "--no-deps", *arguments]
    subprocess.run(call, check=True, timeout=120)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    made = Newcomer(tmp_path_factory.mktemp("project"))
    venv.create(made.folder / ".venv", symlinks=True)
    pip("install", "--no-index", built(tmp_path_factory.mktemp("wheel")), python=made.python)
    (packages,) = made.folder.glob(".venv/lib/python*/site-packages")
    # The dependencies' folder, but none of the hooks in it that an editable install of this checkout leaves.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others))
    (made.folder / "late.py").write_text(readme_method())
    author = ("-c", "user.name=N", "-c", "user.email=n@example.org")
    made.call("git", "init", "--quiet")
    made.call("git", *author, "commit", "--quiet", "--allow-empty", "--message", "another project")
    return made


@pytest.fixture(scope="module")
def results(newcomer: Newcomer) -> Path:
    """The results of README's method beside a built-in one."""
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    which = ["--datasets", "checkerboard", "--baselines", "late,fm_ot", "--seeds", "0", "--device", "cpu"]
    done = newcomer.bench("--plugin", "late.py", *which, *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return newcomer.folder / "results" / "quick"


# The wheel.


def test_what_is_imported_comes_from_the_wheel(newcomer: Newcomer) -> None:
    folder = str(newcomer.folder / ".venv")
    files = newcomer.asked("[m.__file__ for m in (bench, baselines, run_all)]")
    assert isinstance(files, list) and all(file.startswith(folder) for file in files)
    path = newcomer.asked("sys.path")
    assert isinstance(path, list) and str(ROOT) not in path
    assert not newcomer.asked("[str(f) for f in sys.meta_path if 'editable' in str(f)]")


def test_the_wheel_holds_every_file_of_the_package(newcomer: Newcomer) -> None:
    (packages,) = newcomer.folder.glob(".venv/lib/python*/site-packages")

    def files(root: Path) -> set[str]:
        every = (p for name in ("bench", "bench/published", "baselines") for p in (root / name).rglob("*"))
        return {str(p.relative_to(root)) for p in every if p.is_file() and p.suffix not in (".pyc", ".md")}

    assert files(packages) == files(ROOT)
    assert {"bench/published/lipman2023.csv", "bench/papers/lipman2023/claims.toml"} <= files(packages)
    assert (packages / "run_all.py").is_file()


def test_published_numbers_are_found(newcomer: Newcomer) -> None:
    count = newcomer.asked("len(__import__('bench.papers.paper', fromlist=['_']).published_numbers())")
    lines = sum(len(list(csv.DictReader(p.open()))) for p in (ROOT / "results" / "published").glob("*.csv"))
    assert count == lines > 100


# The command.


def test_the_command_goes_by_the_name_that_was_typed(newcomer: Newcomer) -> None:
    assert newcomer.bench("--help").stdout.startswith("usage: flow-matching-bench ")
    bad = newcomer.bench("--suite", "quik")
    assert bad.returncode == 2 and bad.stderr.startswith("flow-matching-bench: error: unknown suite 'quik'")
    assert "did you mean 'quick'?" in bad.stderr and bad.stderr.count("\n") == 1


def test_the_list_names_suites_baselines_and_the_plugin(newcomer: Newcomer) -> None:
    out = newcomer.bench("--plugin", "late.py", "--list").stdout
    for name in ("quick", "imagenet64", "checkerboard", "unet", "fm_ot", "late", "FM w/ Late Noise"):
        assert name in out


MISTAKES = {
    "no plugin": (["--baselines", "late"], ["unknown baseline 'late'", "--plugin FILE registers more"]),
    "a module for a file": (["--plugin", "late"], ["--plugin late", "did you mean the file late.py?"]),
    "an option": (
        ["--plugin", "late.py", "--baselines", "late", "--set", "late.x=1"],
        ["option 'x'", "label_dropout, labels"],
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line(newcomer: Newcomer, what: str) -> None:
    arguments, words = MISTAKES[what]
    done = newcomer.bench(*arguments, "--dry-run")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert all(word in done.stderr for word in words), done.stderr


def test_a_method_that_the_suite_does_not_list_is_pointed_out(newcomer: Newcomer) -> None:
    out = newcomer.bench("--plugin", "late.py", "--dry-run").stdout
    assert out.startswith("not among the runs: late, of --plugin; --baselines ") and ",late runs all\n" in out
    assert "-late-" not in out


# The method.


@pytest.mark.usefixtures("own_baselines")
def test_the_path_is_what_its_docstring_says(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(readme_method())
    load_plugin(str(tmp_path / "late.py"))
    path = baselines["late"]().path
    t, h = torch.linspace(0.0, 1.0, 21, dtype=torch.float64), 1e-6
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t), torch.ones_like(t))
    for f, df in ((path.alpha, path.dalpha), (path.sigma, path.dsigma)):
        torch.testing.assert_close((f(t + h) - f(t - h)) / (2 * h), df(t), rtol=0, atol=1e-8)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(path.alpha(ends), ends)
    torch.testing.assert_close(path.sigma(ends), 1 - ends)


def test_it_runs_beside_a_built_in_method(results: Path) -> None:
    rows = list(csv.DictReader((results / "records.csv").open()))
    assert {row["baseline"] for row in rows} == {"late", "fm_ot"}
    assert {row["stage"] for row in rows} == {"train", "likelihood", "samples", "sweep"}
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["steps"] for row in rows} == {"20"}


def test_records_name_the_installed_version(results: Path) -> None:
    commits = {json.loads(path.read_text())["commit"] for path in results.glob("runs/*/train.json")}
    assert commits == {f"version {VERSION}"}


def test_the_table_and_the_figures_show_it(results: Path) -> None:
    table = (results / "table.md").read_text()
    section = table.split("## checkerboard: quality", 1)[1].split("\n## ", 1)[0]
    assert "| FM w/ Late Noise " in section and "| FM w/ OT " in section
    for name in ("w2_over_nfe", "conditional"):  # its path is drawn, too
        assert (results / "plots" / f"checkerboard_{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (results / "report.html").read_text()
    assert "FM w/ Late Noise" in page and f"version {VERSION}" in page


def test_its_claim_is_judged_beside_the_papers(results: Path) -> None:
    (row,) = (row for row in csv.DictReader((results / "claims.csv").open()) if row["claim"] == "L1")
    assert row["comparison"] == "FM w/ Late Noise against FM w/ OT"
    assert (row["verdict"], row["missing"]) == ("undecided", "1 of 3 seeds with a finite effect")
    assert "FM w/ Late Noise has a lower NLL than FM w/ OT" in (results / "report.html").read_text()
