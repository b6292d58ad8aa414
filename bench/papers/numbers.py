"""The printed numbers of papers: CSV files with a row a number, read and checked when their paper is registered."""

import csv
import re
from pathlib import Path

from pydantic import FiniteFloat, model_validator

from bench.config.settings import Frozen, Positive
from bench.config.validated import validated
from bench.errors import UsageError


class Number(Frozen):
    """One row of a file, whose header has these names."""

    source: str  # who printed it, in `table`
    table: str
    dataset: str
    method: str  # "reference" is the data itself
    metric: str
    value: FiniteFloat
    std: FiniteFloat | None = None  # over `n_seeds` seeds
    n_seeds: Positive | None = None
    settings: str = ""  # what it was measured with, in words
    note: str = ""
    draws: Positive | None = None  # the K that bits/dim are of; by default what `settings` name ("K=50"), else 1

    @model_validator(mode="before")
    @classmethod
    def _as_printed(cls, row: dict[str, str]) -> dict[str, str]:
        row = {key: text for key, text in row.items() if text}  # an empty place of a file is none
        if row.get("metric") == "nll_bpd" and "draws" not in row:
            named = re.search(r"\bK=(\d+)", row.get("settings", ""))
            row["draws"] = named[1] if named else "1"
        return row | ({"metric": "nfe_sampling"} if row.get("metric") == "nfe" else {})


NEEDED = [name for name, field in Number.model_fields.items() if field.is_required()]


def read_numbers(path: Path, where: str) -> tuple[Number, ...]:
    """The rows of a file; UsageError with file, line and column if one does not fit."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if lacking := [column for column in NEEDED if column not in (rows.fieldnames or ())]:
                raise UsageError(f"{where}: no column {lacking[0]!r}; needed: {', '.join(NEEDED)}")
            found = []
            for row in rows:
                if None in row:
                    raise UsageError(f"{where}, line {rows.line_num}: more values than the header has columns")
                found.append(validated(Number, row, f"{where}, line {rows.line_num}"))
            return tuple(found)
    except UsageError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{where}: {getattr(error, 'strerror', None) or error}") from error
