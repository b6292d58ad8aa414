"""A table as data, before it is HTML, Markdown or LaTeX: a grid of entries with headers, notes and remarks."""

from dataclasses import dataclass

from bench.report.vocabulary import Group

ABSENT = "–"


@dataclass(frozen=True)
class Entry:
    """What one place of a grid shows; `notes` number the table's notes from 1, `title` says a hole's reason.

    `runs` are the `run_id` of what stands behind the number.
    """

    text: str = ""
    best: bool = False
    notes: tuple[int, ...] = ()
    title: str = ""
    runs: tuple[str, ...] = ()

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
    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]
    leading: tuple[str, str] = ("Baseline", "Sampler")
    data: tuple[str, ...] = ()
    protocol: str = ""
