"""The overview of a suite: methods by quality, likelihood, evaluations and cost over all of its datasets at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.report.axes import DASHES
from bench.report.canvas import WIDTH, legible, room, sheet
from bench.report.extract import count, each
from bench.report.figure import SMOKE, Drawing
from bench.report.grid import Entry, Grid, Header, Row
from bench.report.improvement import Improvement, improvements
from bench.report.incidents import not_applicable
from bench.report.sections import Section
from bench.report.style import INK, looks_of, ordered

MEASURES = {  # what `Section.metric` takes
    "Quality": "quality",
    "Likelihood": "nll",
    "Sampling NFE": "nfe_sampling",
    "Training time": "train_seconds",
}
HOW = (
    "Mean rank over datasets by the mean over seeds; bold: the best of the methods that are on all of them. P: the "
    "probability that a seed of the method is better than one of another method on the same data, ties by half, mean "
    "over methods and datasets; in brackets its 95% interval by a bootstrap of seeds within each method and dataset. A "
    "value that could not be had, or whose run failed, is worse than any number. The likelihood is the defensive NLL "
    "where every record has it, else the NLL."
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
    company: tuple[str, ...] = ()  # all baselines of the report, which share out the looks

    @property
    def title(self) -> str:
        where = f"(suite {self.suite}, protocol {self.protocol}, {count(self.seeds, 'seed')})"
        return f"Overview of {count(self.datasets, 'dataset')} {where}"

    def grid(self) -> Grid:
        """A row a method, a rank and a probability for every measure."""
        pairs = [(Header(f"{name}: mean rank", "lower"), Header(f"{name}: P", "higher")) for name in self.measures]
        rows = []
        for label, baseline in self.baselines.items():
            on = max(of[label].datasets for of in self.measures.values() if label in of)
            entries = [entry for of in self.measures.values() for entry in _entries(of, label, self.datasets)]
            rows.append(Row(baseline, label, str(on), tuple(entries)))
        return Grid(self.title, "quality", sum(pairs, ()), tuple(rows), (HOW,), LEADING, (), self.protocol)

    def drawing(self) -> Drawing:
        """P of every method with its interval, a panel a measure."""
        columns, gap = len(self.measures), 0.2
        left, letters = room(self.baselines, least=1.5, most=3.6)
        width = (WIDTH - left - 0.2 - gap * (columns - 1)) / columns
        size = (width, BAR * len(self.baselines) + 0.1)
        figure, [axes] = sheet(1, columns, size, (gap, 0), left=left, right=0.2, bottom=0.55)
        look = looks_of(self.baselines, self.company)
        for one, (name, of) in zip(axes, self.measures.items(), strict=True):
            one.axvline(0.5, color=INK, linewidth=1, linestyle=DASHES, zorder=1)
            for y, label in enumerate(self.baselines):
                colour, marker, _ = look[label]
                if label in of:
                    p, low, high, *_ = of[label]
                    one.plot([low, high], [y, y], color=colour, linewidth=2)
                    one.plot([p], [y], marker, color=colour, markersize=7, markeredgecolor="white")
                if one is axes[0]:
                    style: dict[str, Any] = {"size": letters, "weight": "bold", "color": legible(colour)}
                    one.text(-0.04, y, label, transform=one.get_yaxis_transform(), ha="right", va="center", **style)
            one.set(xlim=(-0.03, 1.03), ylim=(len(self.baselines) - 0.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
            one.set(xlabel="P(better than another)")
            one.set_title(name, weight="bold")
        title = f"{SMOKE if self.protocol == 'smoke' else ''}Probability of improvement over the other methods"
        reading = (
            "The probability that one seed of a method is better than one of another method on the same data, with its "
            "95% bootstrap interval; 0.5 is a draw. Fewer evaluations and fewer seconds are better."
        )
        return Drawing(figure, title, reading, "overview", self.title)


def overview_drawings(compared: Sequence[Overview]) -> Iterator[Drawing]:
    """One an overview, whose name tells it from others."""
    for one in compared:
        yield replace(one.drawing(), name="-".join(["overview", *([one.suite, one.protocol] if compared[1:] else [])]))


def overviews(sections: Sequence[Section]) -> list[Overview]:
    """One a suite and protocol, of two methods or more."""
    found = []
    for suite, protocol in dict.fromkeys((s.suite, s.protocol) for s in sections):
        of_suite = [s for s in sections if (s.suite, s.protocol) == (suite, protocol)]
        compared = {name: improvements([_values(s, of) for s in of_suite]) for name, of in MEASURES.items()}
        measures = {name: of for name, of in compared.items() if of}
        baseline = {row.label: row.baseline for s in of_suite for row in each(s.frame.drop_duplicates("variant"))}
        place = {name: i for i, name in enumerate(ordered(baseline.values()))}
        labels = {label for of in measures.values() for label in of}
        baselines = {v: baseline[v] for v in sorted(labels, key=lambda label: (place[baseline[label]], label))}
        if baselines:
            of = suite, protocol, max(s.seeds for s in of_suite), len(of_suite)
            found.append(Overview(*of, measures, baselines, of_suite[0].company))
    return found


def _values(section: Section, name: str) -> dict[str, list[float]]:
    """The values of a metric by label, one a seed, less being better; infinite if lost or if its run failed before."""
    metric = section.metric(name)
    rows = section.compared(metric or "")
    if metric is None or not rows.value.notna().any():
        return {}
    stage, rows = rows.stage.iloc[0], rows[~not_applicable(rows)]
    sign = -1 if section.about(metric).direction == "higher" else 1
    values: dict[Any, float] = (sign * rows.value).fillna(math.inf).groupby([rows.variant, rows.seed]).mean().to_dict()
    inapplicable = section.measured[(section.measured.metric == metric) & not_applicable(section.measured)]
    failures = [i for i in section.incidents if i.status == "failed" and i.explains(stage)]
    lost: dict[Any, float] = {(i.variant, seed): math.inf for i in failures for seed in i.seeds}
    lost = {key: value for key, value in lost.items() if key[0] not in set(inapplicable.variant)}
    by_label: dict[str, list[float]] = {}
    for (variant, _), value in sorted((lost | values).items()):
        by_label.setdefault(section.labels[variant], []).append(value)
    return by_label


def _entries(of: dict[str, Improvement], label: str, datasets: int) -> tuple[Entry, Entry]:
    if label not in of:
        return Entry(), Entry()
    p, low, high, rank, on = of[label]
    interval = f"[{low:.2f}, {high:.2f}]" if math.isfinite(low) else ""
    everywhere = [other.rank for other in of.values() if other.datasets == datasets]
    best = on == datasets and rank == min(everywhere)
    return Entry(value=rank, form=".2f", best=best), Entry(value=p, form=".2f", tail=interval)
