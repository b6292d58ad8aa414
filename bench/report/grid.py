"""A table as data, before it is HTML, Markdown or LaTeX: a grid of entries that stay numbers, headers and remarks."""

import math
from dataclasses import dataclass
from typing import Literal

from bench.report import numbers

Group = Literal["quality", "cost"]
ABSENT = "–"
ARROWS = {"lower": "↓", "higher": "↑", "": ""}


def left(n: int, lost: int, lost_to: str) -> str:
    """What a mean of the seeds that are left says of the others: "(2 of 3 seeds; 1 diverged)"."""
    return f"({n} of {n + lost} seeds; {lost} {lost_to})"


@dataclass(frozen=True)
class Header:
    """What stands above a column: its title with its unit, and the settings that tell it from others of its metric."""

    title: str
    better: Literal["lower", "higher", ""] = ""
    detail: tuple[str, ...] = ()
    published: bool = False

    @property
    def text(self) -> str:
        """ "NLL [nats] ↓ (K = 1)" or "NLL published"."""
        words = (self.title, ARROWS[self.better], "published" if self.published else "")
        return " ".join(filter(None, (*words, f"({', '.join(self.detail)})" if self.detail else "")))


@dataclass(frozen=True)
class Entry:
    """What one place of a grid shows: words, or a number and what is known of it."""

    words: str = ""
    value: float = math.nan  # by which the column is sorted; NaN for a hole, whose reason is `title`
    half_width: float = math.nan
    n: int | None = None
    form: str = ""  # a format of the value ("+.2f"); without one its digits follow from the interval over n seeds
    tail: str = ""  # what stands behind the number: "(2 of 3 seeds; 1 diverged)"
    best: bool = False
    notes: tuple[int, ...] = ()  # numbers of the table's notes, from 1
    title: str = ""
    runs: tuple[str, ...] = ()  # the `run_id` of what stands behind the number

    @property
    def is_number(self) -> bool:
        return not math.isnan(self.value)

    @property
    def parts(self) -> tuple[str, ...]:
        """The number as it is written, and what follows it: ("3.824", "± 0.013")."""
        if self.words or not self.is_number:
            return (self.words,)
        if self.form:
            return tuple(filter(None, (f"{self.value:{self.form}}".replace("-", "−"), self.tail)))
        return tuple(filter(None, (*numbers.parts(self.value, self.half_width, self.n), self.tail)))

    @property
    def text(self) -> str:
        return " ".join(self.parts)

    @property
    def plain(self) -> str:
        """The text with the numbers of its notes: "failed [1]"."""
        return f"{self.text} [{', '.join(map(str, self.notes))}]" if self.notes else self.text


@dataclass(frozen=True)
class Row:
    """One line of a grid; the floor's has no baseline."""

    baseline: str
    label: str
    sampler: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Grid:
    """One table: title, headers (after the `leading` two), lines, the sentences below it, and the data it is about."""

    title: str
    group: Group
    headers: tuple[Header, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]
    leading: tuple[str, str] = ("Baseline", "Sampler")
    data: tuple[str, ...] = ()
    protocol: str = ""
