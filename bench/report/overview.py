"""The overview of a suite: methods by quality, likelihood, evaluations and cost over all of its datasets at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.axes import DASHES
from bench.report.canvas import WIDTH, legible, sheet
from bench.report.cells import measured, of_section
from bench.report.comparable import settled_cells
from bench.report.figure import SMOKE, Drawing
from bench.report.grid import Entry, Grid, Header, Row
from bench.report.improvement import Improvement, improvements
from bench.report.incidents import not_applicable
from bench.report.scores import distance_metric, likelihood_metric
from bench.report.sections import Section, count, each
from bench.report.style import INK, looks, ordered

if TYPE_CHECKING:
    from pandas import DataFrame

MEASURES: dict[str, Callable[[Section], str | None]] = {
    "Quality": distance_metric,
    "Likelihood": likelihood_metric,
    "Sampling NFE": lambda section: "nfe_sampling",
    "Training time": lambda section: "train_seconds",
}
HOW = (
    "Mean rank over datasets by the mean over seeds; bold: the best of the methods that are on all of them. P: the "
    "probability that a seed of the method is better than one of another method on the same data, ties by half, mean "
    "over methods and datasets; in brackets its 95% interval by a bootstrap of seeds within each method and dataset. A "
    "value that could not be had is worse than any number."
)
LEADING = ("Method", "Datasets")
BAR = 0.3  # inches a method


@dataclass(frozen=True)
class Overview:
    """One suite under one protocol: each measure's improvements by label, and the baseline of each label."""

    suite: str
    protocol: str
    seeds: int
    datasets: int
    measures: dict[str, dict[str, Improvement]]
    baselines: dict[str, str]

    @property
    def title(self) -> str:
        where = f"(suite {self.suite}, protocol {self.protocol}, {count(self.seeds, 'seed')})"
        return f"Overview of {count(self.datasets, 'dataset')} {where}"

    def grid(self) -> Grid:
        """A row a method, a rank and a probability for every measure."""
        headers = [
            header
            for name in self.measures
            for header in (Header(f"{name}: mean rank", "lower"), Header(f"{name}: P", "higher"))
        ]
        rows = []
        for label, baseline in self.baselines.items():
            on = max(of[label].datasets for of in self.measures.values() if label in of)
            entries = [entry for of in self.measures.values() for entry in _entries(of, label, self.datasets)]
            rows.append(Row(baseline, label, str(on), tuple(entries)))
        return Grid(self.title, "quality", tuple(headers), tuple(rows), (HOW,), LEADING, (), self.protocol)

    def drawing(self) -> Drawing:
        """P of every method with its interval, a panel a measure."""
        columns, gap, left = len(self.measures), 0.2, 1.5
        width = (WIDTH - left - 0.2 - gap * (columns - 1)) / columns
        size = (width, BAR * len(self.baselines) + 0.1)
        figure, [axes] = sheet(1, columns, size, (gap, 0), left=left, right=0.2, bottom=0.55)
        look = looks(self.baselines.values())
        for one, (name, of) in zip(axes, self.measures.items(), strict=True):
            one.axvline(0.5, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
            for y, (label, baseline) in enumerate(self.baselines.items()):
                colour, marker = look[baseline]
                if label in of:
                    p, low, high, *_ = of[label]
                    one.plot([low, high], [y, y], color=colour, linewidth=2)
                    one.plot([p], [y], marker, color=colour, markersize=7, markeredgecolor="white")
                if one is axes[0]:
                    style: dict[str, Any] = {"size": 9, "weight": "bold", "color": legible(colour)}
                    one.text(-0.04, y, label, transform=one.get_yaxis_transform(), ha="right", va="center", **style)
            one.set(xlim=(-0.03, 1.03), ylim=(len(self.baselines) - 0.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
            one.set(xlabel="P(better than another)")
            one.set_title(name, weight="bold")
        title = f"{SMOKE if self.protocol == 'smoke' else ''}Probability of improvement over the other methods"
        reading = (
            "The probability that one seed of a method is better than one of another method on the same data, with its "
            "95% bootstrap interval; 0.5 is a draw. Fewer evaluations and fewer seconds are better."
        )
        return Drawing(figure, title, reading)


def overviews(sections: Sequence[Section], cells: "DataFrame") -> list[Overview]:
    """One a suite and protocol, of two methods or more."""
    found = []
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        mine = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        rows = [measured(section) for section in mine]
        measures = {}
        for name, metric_of in MEASURES.items():
            values = [_values(s, of_section(cells, s), of, metric_of(s)) for s, of in zip(mine, rows, strict=True)]
            if compared := improvements(values):
                measures[name] = compared
        baseline = {row.label: row.baseline for s in mine for row in each(s.frame.drop_duplicates("variant"))}
        compared_labels = {label for of in measures.values() for label in of}
        place = {name: i for i, name in enumerate(ordered(baseline.values()))}
        labels = sorted(compared_labels, key=lambda label: (place[baseline[label]], label))
        if labels:
            seeds = max(s.seeds for s in mine)
            found.append(Overview(suite, protocol, seeds, len(mine), measures, {v: baseline[v] for v in labels}))
    return found


def _values(section: Section, cells: "DataFrame", rows: "DataFrame", metric: str | None) -> dict[str, list[float]]:
    """The values of a metric by label, one a seed, turned so that less is better; infinite for one that was lost."""
    settings = settled_cells(cells, metric) if metric else None
    if metric is None or settings is None:
        return {}
    mine = rows[(rows.metric == metric) & (rows.comparable == settings) & ~rows.native.astype(bool)]
    mine = mine[~not_applicable(mine)]
    sign = -1 if section.about(metric).better == "higher" else 1
    by_seed = (sign * mine.value).fillna(math.inf).groupby([mine.variant, mine.seed]).mean()
    return {section.labels[str(variant)]: list(of) for variant, of in by_seed.groupby(level=0)}


def _entries(of: dict[str, Improvement], label: str, datasets: int) -> tuple[Entry, Entry]:
    if label not in of:
        return Entry(), Entry()
    p, low, high, rank, on = of[label]
    interval = f"[{low:.2f}, {high:.2f}]" if math.isfinite(low) else ""
    everywhere = [other.rank for other in of.values() if other.datasets == datasets]
    return Entry(value=rank, form=".2f", best=on == datasets and rank == min(everywhere)), Entry(
        value=p, form=".2f", tail=interval
    )
