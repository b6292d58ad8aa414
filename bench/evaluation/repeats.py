"""The same measured m times, each with random numbers or data of its own: its mean, and the spread of that.

    value = (v_1 + ... + v_m) / m,    stderr = s / sqrt(m),    s^2 = sum_i (v_i - value)^2 / (m - 1)

A measurement of m > 1 says so by `repeats` in its settings, so the deviation of one repeat is s = stderr sqrt(repeats).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from bench.evaluation.parts import Rows
from bench.records.records import Measurement


def mean_of(repeats: Sequence[Rows]) -> Rows:
    """The means of equal rows; a single repeat itself. What one repeat lacks has no value, and the reason of that."""
    return list(repeats[0]) if len(repeats) == 1 else [_mean(same) for same in zip(*repeats, strict=True)]


def _mean(rows: Sequence[Measurement]) -> Measurement:
    if why := next((row for row in rows if row.reason), None):
        return why
    values = [row.value for row in rows]
    seconds = [row.seconds for row in rows if row.seconds is not None]
    spent = sum(seconds) if seconds else None
    return replace(rows[0], value=fmean(values), stderr=stdev(values) / math.sqrt(len(values)), seconds=spent)
