"""The command as it was typed, for those that are printed: each can be pasted as it stands."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

INSTALLED = "flow-matching-bench"
SUITE = "quick"  # that is run where none is named
# What decides which runs are meant and where they lie; the other options say how to run them, or what else to do.
SELECTION = ("suite", "baselines", "datasets", "seeds", "protocol", "set", "claims", "plugin", "results", "data_dir")
REPEATED = ("set", "claims", "plugin")
_VARIABLE = "BENCH_COMMAND"  # by which a worker knows it


def program() -> str:
    """The name that the user typed: of the script in a checkout, or of the installed command."""
    return INSTALLED if Path(sys.argv[0]).stem == INSTALLED else "run_all.py"


def invocation() -> str:
    """How a line in a shell begins that calls the command again: with this Python, its switches and this script."""
    if program() == INSTALLED:
        return INSTALLED if shutil.which(INSTALLED) else shlex.quote(sys.argv[0])
    typed = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    ours = Path(sys.argv[0]).name == "run_all.py" and len(typed) > 1
    return shlex.join(typed) if ours else "python run_all.py"


def suite_of(options: argparse.Namespace) -> str:
    """The suite that is named, or else the usual one."""
    return SUITE if options.suite is None else str(options.suite)


def again(options: argparse.Namespace, *more: str) -> str:
    """The command for the same runs, with `more` in place of what it was to do with them."""
    words: list[str] = []
    named = {**vars(options), "suite": suite_of(options)}
    for name in SELECTION:
        value, flag = named[name], "--" + name.replace("_", "-")
        if value is None:
            continue
        several = isinstance(value, list)
        given = value if name in REPEATED else [",".join(map(str, value)) if several else value]
        for text in map(str, given):
            words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return f"{invocation()} {shlex.join([*words, *more])}"


def remember(options: argparse.Namespace) -> None:
    """Let this process and those that it starts know the command."""
    os.environ[_VARIABLE] = again(options)


def remembered(*more: str) -> str:
    """The command for the same runs with `more`, as far as this process knows it."""
    return " ".join([os.environ.get(_VARIABLE, invocation()), *more])
