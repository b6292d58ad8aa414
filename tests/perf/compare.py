"""Two ways of doing the same work, measured in interleaved rounds.

Every round times both sides, and they take turns at going first. On a machine that others use too only the ratios mean
something: that of the medians, with the smallest and the largest ratio of one round. Ratios are ours / reference of
the values, so of a rate more is better and of seconds less.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

Values = tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One comparison, one value a side and round; without values it was not measured, and `note` says why.

    Attributes:
        target: "at least 0.95", "at most 1.10" or "0.67 to 1.50" of the ratio, nothing if for information.
        note: what shows that both sides did the same.
    """

    name: str
    unit: str = ""
    ours: Values = ()
    reference: Values = ()
    target: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.reference)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest ratio of one round."""
        pairs = [a / b for a, b in zip(self.ours, self.reference, strict=True)]
        return min(pairs), max(pairs)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is what `target` asks for; None where there is none."""
        if not (self.target and self.ours):
            return None
        words, bound = self.target.rsplit(maxsplit=1)
        if words == "at least":
            return self.ratio >= float(bound)
        least = 0.0 if words == "at most" else float(words.split()[0])
        return least <= self.ratio <= float(bound)


def share(name: str, unit: str, ours: Values, most: float, note: str) -> Row:
    """Values beside the most that they may be: the ratio is their share of it."""
    return Row(f"{name}, of the {most:g} {unit} it may take", unit, ours, (most,) * len(ours), "at most 1.00", note)


def base() -> tuple[str, str]:
    """The checkout of another commit that PERF_BASE names, "" for none, and its commit."""
    folder = os.environ.get("PERF_BASE", "")
    command = ["git", "-C", folder, "rev-parse", "--short=10", "HEAD"]
    return folder, subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip() if folder else ""


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compare(
    name: str,
    ours: Callable[[], object],
    reference: Callable[[], object],
    rounds: int,
    unit: str = "s",
    amount: float | None = None,
    target: str = "",
    note: str = "",
) -> Row:
    """Time both sides in `rounds` rounds; with `amount` units of work in one call the values are units a second.

    Both sides have to be warm already: whatever they do at a first call only is timed here too.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            taken[side].append(seconds((ours, reference)[side]))
    values = [tuple(amount / s if amount else s for s in side) for side in taken]
    return Row(name, unit, *values, target, note)


def calls(work: Callable[[], object], length: float) -> int:
    """How many calls fill `length` seconds, by the second of two: the first may be slow."""
    work()
    return max(1, round(length / seconds(work)))
