"""The one exception that is shown to a user as a single line, without a traceback."""


class UsageError(ValueError):
    """A bad option, key, name, file or value: the message names it, its value and what is allowed."""


class Diverged(ArithmeticError):
    """A run whose loss, weights or ODE solution stopped being finite: it ends as a failed record."""
