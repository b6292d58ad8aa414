"""Commands that are printed can be pasted as they stand, and mean the same runs."""

import shlex
import sys

import pytest

import run_all
from bench.launch import invocation

WORDS = [
    *("--suite", "my suites/it's.toml", "--baselines", "fm_ot,lab/new", "--datasets", "a,b", "--seeds=1,2"),
    *("--protocol", "small", "--set", "training.steps=", "--set", "network.act=a b;c", "--claims", "c $1.toml"),
    *("--plugin", "p q.py", "--plugin=-odd.py", "--results", "r & r", "--data-dir", "~/d"),
]


def parsed(words: list[str]) -> dict[str, object]:
    return vars(run_all.parser().parse_args(words))


def test_a_printed_command_means_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/x y/run_all.py", *WORDS, "--cluster", "slurm", "--retry"])
    monkeypatch.setattr(sys, "orig_argv", ["/venv/python", "-X", "dev", *sys.argv])
    options = run_all.parser().parse_args(sys.argv[1:])
    pasted = shlex.split(invocation.again(options, "--status"))
    assert pasted[:4] == ["/venv/python", "-X", "dev", "/opt/x y/run_all.py"]
    assert parsed(pasted[4:]) == parsed([*WORDS, "--status"])


def test_what_was_not_typed_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run_all.py"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "run_all.py"])
    again = invocation.again(run_all.parser().parse_args([]), "--report")
    assert again == "python run_all.py --suite quick --results results --report"


def test_the_installed_command_is_called_by_its_name_or_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/no such/bin/flow-matching-bench"])
    monkeypatch.setenv("PATH", "/none")
    assert invocation.program() == "flow-matching-bench"
    assert shlex.split(invocation.invocation()) == ["/no such/bin/flow-matching-bench"]
    monkeypatch.setattr(invocation.shutil, "which", lambda name: f"/bin/{name}")
    assert invocation.invocation() == "flow-matching-bench"


def test_a_worker_knows_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_COMMAND", raising=False)
    assert invocation.remembered("--fetch").endswith("run_all.py --fetch")
    monkeypatch.setattr(invocation.os, "environ", {})
    assert invocation.suite_of(run_all.parser().parse_args(["--suite", ""])) == ""  # which no suite is named
    options = run_all.parser().parse_args(["--suite", "a b"])
    invocation.remember(options)
    assert invocation.remembered("--fetch") == invocation.again(options, "--fetch")
