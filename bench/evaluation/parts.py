"""A stage is made of parts; one that cannot be had leaves its measurements without values, and the rest is measured.

A part is a likelihood by one solver, a sampler's samples, one setting of the sweep, a picture. It succeeds or fails on
all ranks together: what can fail on one rank alone stands under `ranks.failing_together`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench.errors import NotApplicable, is_lost
from bench.evaluation.lost import Lost, costs_a_part, of_its_nature, of_the_value, reason
from bench.evaluation.unfinished import Unfinished
from bench.records.records import Measurement
from bench.training import ranks

Rows = list[Measurement]
Arrays = dict[str, Any]
Make = Callable[[Unfinished], tuple[Rows, Arrays]]
Log = Callable[[str], None]
ROWS = "measurements"  # the array that holds them in a part that is kept


def without(rows: Rows, why: str) -> Rows:
    return [replace(row, reason=why) for row in rows]


def filled(rows: Rows, values: Mapping[str, Any]) -> Rows:
    """Rows with their values by metric, each a number, or a number and its standard error."""
    pairs = [value if isinstance(value, tuple) else (value, None) for value in (values[row.metric] for row in rows)]
    return [replace(row, value=value, stderr=stderr) for row, (value, stderr) in zip(rows, pairs, strict=True)]


def attempt(rows: Rows, make: Callable[[], Rows], alone: bool = True) -> Rows:
    """The measurements that `make` gives, or these rows with the reason; not `alone`, of what all ranks know."""
    try:
        return make()
    except Exception as error:
        if not _taken(error, alone):
            raise
        return without(rows, reason(error))


def _taken(error: Exception, alone: bool) -> bool:
    return costs_a_part(error) and (alone or ranks.count() == 1 or isinstance(error, Lost | NotApplicable))


class Parts:
    """The measurements and arrays of a stage, part by part; `rows` may be incomplete on ranks but the main one."""

    def __init__(self, log: Log, unfinished: Unfinished | None = None) -> None:
        self.log, self.unfinished = log, unfinished or Unfinished()
        self.rows: Rows = []
        self.arrays: Arrays = {}
        self._errors: list[Exception] = []
        self._had = False

    def measure(self, name: str, rows: Rows, make: Make, where: str = "") -> None:
        """Add a part (see `part`)."""
        self.rows += self.part(name, rows, make, where)

    def part(self, name: str, rows: Rows, make: Make, where: str = "") -> Rows:
        """A part's measurements: as kept, or as `make` measures them, or its rows with the reason why they lack values.

        Its arrays are added to the others.
        `make` is called with where its batches are kept; ranks may work together in it. `where` stands in the reason,
        such as "at 4 evaluations".
        """
        unfinished = self.unfinished.part()
        found = self._kept(unfinished, name) if ranks.is_main() else ([], {})
        (lacking,) = ranks.agreed(found is None)
        if not lacking and found is not None:
            self._had = True
        else:
            self.log(name)
            found = self._made(unfinished, name, rows, make, where)
        self.arrays |= found[1]
        return found[0]

    def _made(self, unfinished: Unfinished, name: str, rows: Rows, make: Make, where: str) -> tuple[Rows, Arrays]:
        try:
            rows, arrays = make(unfinished)
        except Exception as error:
            if not _taken(error, alone=False):
                raise
            if not of_its_nature(error):
                self._errors.append(error)
            why = reason(error, where)
            self.log(f"{name}: {why}")
            return without(rows, why), {}
        self._had = True
        for said in dict.fromkeys(row.reason for row in rows if is_lost(row.reason)):
            self.log(f"{name}: {said}")
        (lost,) = ranks.agreed(any(is_lost(row.reason) for row in rows))
        if not lost:  # else its batches stay, for another try
            if ranks.is_main():
                text = json.dumps([asdict(row) for row in rows])
                unfinished.keep(name, {**arrays, ROWS: np.frombuffer(text.encode(), np.uint8)})
            unfinished.drop_batches()
        return rows, arrays

    def _kept(self, unfinished: Unfinished, name: str) -> tuple[Rows, Arrays] | None:
        found = unfinished.kept(name)
        if found is None:
            return None
        text = found.pop(ROWS).tobytes()
        return [Measurement(**row) for row in json.loads(text)], dict(found)

    def check(self) -> None:
        """Raise the first error where no part could be had, through wrong code rather than values out of reach."""
        if self._errors and not self._had and not any(map(of_the_value, self._errors)):
            raise self._errors[0]
