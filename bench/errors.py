"""What a user is told: complaints of one line without a traceback, and the command by the name that was typed."""

import sys
from pathlib import Path


class UsageError(ValueError):
    """A bad option, key, name, file or value: the message names it, its value and what is allowed."""


class Diverged(ArithmeticError):
    """A run whose loss, weights or ODE solution stopped being finite: it ends as a failed record."""


def program() -> str:
    """The name that the user typed: of the script in a checkout, or of the installed command."""
    installed = "flow-matching-bench"
    return installed if Path(sys.argv[0]).stem == installed else "run_all.py"


def invocation() -> str:
    """`program` as a line in a shell begins."""
    return f"python {program()}" if program().endswith(".py") else program()
