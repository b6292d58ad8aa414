"""A stage is made of parts; one that cannot be had leaves its measurements without values, and the rest is measured.

A part is a likelihood by one solver, a sampler's samples, one setting of the sweep, a picture. It succeeds or fails on
all ranks together: what can fail on one rank alone stands under `ranks.failing_together`.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.errors import NotApplicable, is_lost
from bench.evaluation.lost import Lost, costs_a_part, of_its_nature, of_the_value, reason
from bench.evaluation.partial import Partial
from bench.records.records import Measurement
from bench.training import ranks

Rows = list[Measurement]
Arrays = dict[str, Any]
Blank = Callable[[str], Rows]  # reason -> the measurements of a part, without values
Log = Callable[[str], None]
ROWS = "measurements"  # the array that holds them in a part that is kept


def attempt(make: Callable[[], Rows], blank: Blank, alone: bool = True) -> Rows:
    """The measurements that `make` gives, or blank ones with the reason.

    Args:
        alone: whether no other rank takes part in `make`; else what all ranks know of is taken, and no other failure.
    """
    try:
        return make()
    except Exception as error:
        if not _taken(error, alone):
            raise
        return blank(reason(error))


def _taken(error: Exception, alone: bool) -> bool:
    return costs_a_part(error) and (alone or ranks.count() == 1 or isinstance(error, Lost | NotApplicable))


class Parts:
    """The measurements and arrays of a stage, part by part.

    Attributes:
        rows: on ranks other than the main one they may be incomplete.
    """

    def __init__(self, log: Log, partial: Partial | None = None) -> None:
        self.log, self.partial = log, partial or Partial()
        self.rows: Rows = []
        self.arrays: Arrays = {}
        self._errors: list[Exception] = []
        self._had = False

    def measure(self, name: str, make: Callable[[Partial], tuple[Rows, Arrays]], blank: Blank, where: str = "") -> None:
        """Add a part: as it is kept, or as `make` measures it, or blank.

        Args:
            make: called with where its batches are kept; ranks may work together in it.
            where: what the reason says of the part, such as "at 4 evaluations".
        """
        partial = self.partial.part()
        found = self._kept(partial, name) if ranks.is_main() else ([], {})
        (lacking,) = ranks.agreed(found is None)
        if not lacking and found is not None:
            rows, arrays = found
            self._had = True
        else:
            self.log(name)
            rows, arrays = self._made(partial, name, make, blank, where)
        self.rows += rows
        self.arrays |= arrays

    def _made(
        self, partial: Partial, name: str, make: Callable[[Partial], tuple[Rows, Arrays]], blank: Blank, where: str
    ) -> tuple[Rows, Arrays]:
        try:
            rows, arrays = make(partial)
        except Exception as error:
            if not _taken(error, alone=False):
                raise
            if not of_its_nature(error):
                self._errors.append(error)
            why = reason(error, where)
            self.log(f"{name}: {why}")
            return blank(why), {}
        self._had = True
        for said in dict.fromkeys(row.reason for row in rows if is_lost(row.reason)):
            self.log(f"{name}: {said}")
        (lost,) = ranks.agreed(any(is_lost(row.reason) for row in rows))
        if not lost:  # else its batches stay, for another try
            if ranks.is_main():
                text = json.dumps([asdict(row) for row in rows])
                partial.keep(name, {**arrays, ROWS: np.frombuffer(text.encode(), np.uint8)})
            partial.drop_batches()
        return rows, arrays

    def _kept(self, partial: Partial, name: str) -> tuple[Rows, Arrays] | None:
        found = partial.kept(name)
        if found is None:
            return None
        text = found.pop(ROWS).tobytes()
        return [Measurement(**row) for row in json.loads(text)], dict(found)

    def check(self) -> None:
        """Raise the first error where no part could be had, through wrong code rather than values out of reach."""
        if self._errors and not self._had and not any(map(of_the_value, self._errors)):
            raise self._errors[0]
