"""What a user is told: complaints of one line without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

NOT_APPLICABLE = "not applicable"  # how the reason of a value begins that a model cannot have by its nature


def is_lost(reason: str | None) -> bool:
    """Whether a measurement with this reason is without a value that it could have had."""
    return bool(reason) and not str(reason).startswith(NOT_APPLICABLE)


def one_line(error: BaseException) -> str:
    """ "KeyError: 'velocity'": the kind of an exception and what it says, whatever lines that has."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class UsageError(ValueError):
    """A bad option, key, name, file or value: the message names it, its value and what is allowed."""


@contextmanager
def usage_error(where: str, *passing: type[Exception]) -> Iterator[None]:
    """Have what goes wrong within be a UsageError of one line after `where`, but for one already and for `passing`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (UsageError, *passing)):
            raise
        raise UsageError(f"{where}: {one_line(error)}") from error


class HalfSubmitted(RuntimeError):
    """Slurm took the first arrays of a submission, whose jobs are `ids`, and refused the next for the reason given."""

    def __init__(self, reason: str, ids: list[str]) -> None:
        super().__init__(reason)
        self.ids = ids


class NotApplicable(Exception):
    """What a model, or its data, cannot have by its nature; the message is the reason."""

    kind = NOT_APPLICABLE


class Diverged(ArithmeticError):
    """A loss, weights or an ODE solution that stopped being finite; `kind` is said before the message."""

    kind = "diverged"


class Unstackable(Exception):
    """Why runs are not trained together (bench/training/stack.py); each is trained alone then, and none has failed."""
