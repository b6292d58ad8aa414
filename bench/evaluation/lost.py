"""What a failure costs: one part of a stage where a value cannot be had, the run where its surroundings fail."""

from bench.errors import NOT_APPLICABLE, Diverged, NotApplicable, UsageError

LENGTH = 200  # characters of what an exception says


class Lost(Exception):
    """A part that cannot be had, known to all ranks: the kind of its failure and what was said of it."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(f"{kind}: {said}" if kind else said)
        self.kind, self.said = kind, said


def costs_a_part(error: Exception) -> bool:
    """Whether the rest of a stage can be measured; a bad setting or a full disk would be met there again."""
    return not isinstance(error, (OSError, UsageError))


def of_the_value(error: Exception) -> bool:
    """Whether the value itself is out of reach (it diverged, or there is no room for it), and not its code wrong."""
    return isinstance(error, (ArithmeticError, MemoryError)) or cause(error)[0] in ("", "diverged", "out of memory")


def of_its_nature(error: Exception) -> bool:
    """Whether the model, or its data, cannot have the value by its nature, so that nothing failed."""
    return cause(error)[0] == NOT_APPLICABLE


def cause(error: Exception) -> tuple[str, str]:
    """The kind of a failure and what is said of it, each in one line; no kind where the message says it all."""
    if isinstance(error, Lost):
        return error.kind, error.said
    said = " ".join(str(error).split())
    if isinstance(error, Diverged | NotApplicable):
        return error.kind, said
    # torch's own, by its name: what is imported here must not be heavy.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory", said
    return type(error).__name__, said


def reason(error: Exception, where: str = "") -> str:
    """ "diverged at 4 evaluations: euler: the solution is not finite at t = 1"."""
    kind, said = cause(error)
    where = "" if kind == NOT_APPLICABLE else where
    return ": ".join(text for text in (f"{kind} {where}".strip() if kind else "", said[:LENGTH]) if text)
