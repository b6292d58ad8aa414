"""Lines of text in columns, no longer than a terminal is wide."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

WIDTH = 120
GAP = "  "


def columns(
    rows: Sequence[Sequence[str]], shrinks: Collection[int] = (), right: Collection[int] = (), width: int = WIDTH
) -> list[str]:
    """Rows of equal length as aligned lines; the columns of `shrinks` are cut to fit, `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widest = max(shrinks, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= 8:
            break
        widths[widest] -= 1
    lines = []
    for row in rows:
        texts = [short(text, size) for text, size in zip(row, widths, strict=True)]
        padded = [t.rjust(w) if i in right else t.ljust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True))]
        lines.append(GAP.join(padded).rstrip())
    return lines


def short(text: str, width: int) -> str:
    """The text, or its beginning and "..."."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def with_options(name: str, options: Mapping[str, Any]) -> str:
    """A component as it is set: "mlp width=64 depth=4"."""
    return " ".join([name, *(f"{key}={_shown(value)}" for key, value in options.items())])


def _shown(value: Any) -> str:
    return str(value).replace(" ", "") if isinstance(value, (list, tuple)) else f"{value}"


def one_of(names: Sequence[str], most: int = 2) -> str:
    """ "a", "a, b" or "a, b and 6 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
