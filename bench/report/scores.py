"""One number a variant, for what figures say in words: the same means as in the headline table."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report import numbers, vocabulary
from bench.report.cells import of_section
from bench.report.comparable import FLOOR, settled_cells
from bench.report.sections import Section
from bench.report.statistics import Interval

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Scores:
    """Means of one metric by variant under one set of settings, in the unit of the metric's header."""

    metric: str
    settings: str
    section: Section
    values: dict[str, Interval]
    floor: float | None

    @property
    def about(self) -> vocabulary.Metric:
        return self.section.about(self.metric)

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


def scores(section: Section, cells: "DataFrame", metric: str) -> Scores | None:
    """The means of a metric in the variants' own rows, under the settings most variants share."""
    mine = of_section(cells, section)
    settings = settled_cells(mine, metric)
    if settings is None:
        return None
    mine = mine[(mine.metric == metric) & (mine.settings == settings) & (mine.n > 0)]
    floors = mine["mean"][mine.baseline == FLOOR]
    chosen = mine[(mine.baseline != FLOOR) & ~mine.native.astype(bool)]
    divide = section.about(metric).divide
    values = {
        variant: Interval(mean / divide, half / divide, int(n))
        for variant, mean, half, n in zip(chosen.variant, chosen["mean"], chosen.half_width, chosen.n, strict=True)
        if math.isfinite(mean)
    }
    return Scores(metric, settings, section, values, float(floors.iloc[0]) if len(floors) else None)


def likelihood_metric(section: Section) -> str:
    """nll_bpd for images that have it, else nll_nats."""
    return "nll_bpd" if (section.frame.metric == "nll_bpd").any() else "nll_nats"


def distance_metric(section: Section) -> str | None:
    """What sample quality is measured by: w2, else FID, else another feature distance, else nothing."""
    present = sorted({name for name in section.frame.metric if name.startswith("fd_")})
    ranked = [name for name in ("w2", "fid") if (section.frame.metric == name).any()] + present
    return ranked[0] if ranked else None
