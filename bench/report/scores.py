"""One number a variant, for what figures say in words: the same means as in the headline table."""

import math
from dataclasses import dataclass

from pandas import DataFrame

from bench.metrics.metric import Facts
from bench.report import numbers
from bench.report.comparable import FLOOR
from bench.report.statistics import Interval


@dataclass(frozen=True)
class Scores:
    """Means of one metric by variant under one set of settings, in the unit of the metric's header."""

    metric: str
    settings: str
    about: Facts
    values: dict[str, Interval]
    floor: float | None

    def text(self, variant: str) -> str:
        """ "NLL 3.70 ± 0.02", or nothing where the variant has no value."""
        value = self.values.get(variant)
        return f"{self.about.title} {numbers.measured(*value[:2])}" if value else ""

    @property
    def floor_text(self) -> str:
        """What the data itself scores, in words: "exact density 3.466", "held-out images 9.312"."""
        assert self.floor is not None
        if self.metric == "nll_nats":
            return f"exact density {self.floor:.3f}"
        return f"held-out images {self.floor:.4g}"


def scored(cells: DataFrame, metric: str, settings: str, about: Facts) -> Scores:
    """The means of the headline rows, and of the floor, in one column of a section's cells."""
    column = cells[(cells.metric == metric) & (cells.settings == settings) & (cells.n > 0)]
    floors = column["mean"][column.baseline == FLOOR]
    chosen = column[column.is_headline]
    values = {
        variant: Interval(mean / about.divide, half / about.divide, int(n))
        for variant, mean, half, n in zip(chosen.variant, chosen["mean"], chosen.half_width, chosen.n, strict=True)
        if math.isfinite(mean)
    }
    return Scores(metric, settings, about, values, float(floors.iloc[0]) if len(floors) else None)
