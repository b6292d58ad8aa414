"""Scores on validation against what was tuned: a panel per dataset, a line per method, the choice in a ring."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from pandas import DataFrame

from bench.config.choice import Choice
from bench.report.axes import DASHES, crosses, curves, key, limit, plain_log, sign_of, titled
from bench.report.canvas import panels
from bench.report.extract import each, listed
from bench.report.figure import SMOKE, Drawing
from bench.report.sections import Section
from bench.report.style import MUTED, Look
from bench.report.tuning import called, own_value, short
from bench.report.variants import Config

HEIGHT, ACROSS = 1.75, 3  # inches, and panels in a row
READING = (
    "The score of every value that was tried, on the validation split at the end of training, mean over the tuning "
    "seeds; the best one where other settings were tried with a value. A ring marks the choice. A dashed line: the "
    "suite's own value."
)


def tuning_drawings(sections: Sequence[Section], configs: Mapping[str, Config]) -> Iterator[Drawing]:
    """One per suite, protocol, and tuned setting of which two numbers or more were tried."""
    tuned = [section for section in sections if section.choices]
    suites = list(dict.fromkeys((section.suite, section.protocol) for section in tuned))
    for suite, protocol in suites:
        of_suite = [section for section in tuned if (section.suite, section.protocol) == (suite, protocol)]
        keys = list(dict.fromkeys(name for s in of_suite for name in _numeric(s.choices.values())))
        for name in keys:
            parts = ["tuning", *([suite, protocol] if suites[1:] else []), *([short(name)] if keys[1:] else [])]
            having = [s for s in of_suite if name in _numeric(s.choices.values())]
            yield _drawing(name, having, configs, "-".join(parts))


def _numeric(choices: Iterable[Choice]) -> list[str]:
    """The dotted keys of which each choice has numbers, two or more in all."""
    values: dict[str, set[Any]] = {}
    for choice in choices:
        for tried in choice.tried:
            for name, value in tried.values.items():
                values.setdefault(name, set()).add(value)
    return [name for name, of in values.items() if len(of) > 1 and all(type(value) in (int, float) for value in of)]


def _drawing(name: str, sections: Sequence[Section], configs: Mapping[str, Config], file: str) -> Drawing:
    figure, grid = panels(len(sections), HEIGHT, ACROSS)
    looks: dict[str, Look] = {}
    metrics: list[str] = []
    reading = READING
    for i, (axes, section) in enumerate(zip(grid, sections, strict=True)):
        metric = _metric(section)
        points = _points(section, metric, name)
        own = {section.labels[variant]: section.looks[variant] for variant in section.labels}
        looks |= {label: own[label] for label in own if (points.label == label).any()}
        metrics.append(section.about(metric).title)
        cut = _panel(axes, points, own, _own(section, configs, name))
        reading += cut if cut not in reading else ""
        axes.set_title(section.name, weight="bold")
        axes.set_ylabel(titled(section.about(metric)) if i % ACROSS == 0 else "")
        if i + ACROSS >= len(sections):
            axes.set_xlabel(called(name))
    key(grid[min(ACROSS, len(grid)) - 1], looks)
    suite, protocol = sections[0].suite, sections[0].protocol
    smoke, scores = SMOKE if protocol == "smoke" else "", listed(dict.fromkeys(metrics))
    title = f"{smoke}{scores} on validation against {called(name)}, by method"
    return Drawing(figure, title, reading, file, f"suite {suite} · protocol {protocol}")


def _metric(section: Section) -> str:
    """The metric that most methods are chosen by."""
    metrics = [choice.metric for choice in section.choices.values()]
    return max(dict.fromkeys(metrics), key=metrics.count)


def _points(section: Section, metric: str, name: str) -> DataFrame:
    """The best score per method and value of a setting, in the metric's own unit; NaN if every trial was lost."""
    rows = []
    about = section.about(metric)
    for variant, choice in section.choices.items():
        for value in dict.fromkeys(tried.values[name] for tried in choice.tried if name in tried.values):
            scores = [tried.score for tried in choice.tried if tried.values[name] == value and tried.score is not None]
            best = min(scores, key=lambda score: sign_of(about) * score, default=float("nan")) / about.divide
            if choice.metric == metric:
                rows.append((section.labels[variant], value, best, choice.to.get(name) == value, float("nan")))
    return DataFrame(rows, columns=["label", "x", "value", "chosen", "low"]).assign(high=float("nan"))


def _own(section: Section, configs: Mapping[str, Config], name: str) -> set[Any]:
    """The suite's own values, of the untuned runs."""
    own = section.untuned.labels if section.untuned else {}
    return {own_value(configs[variant], name) for variant in own if variant in configs} - {None}


def _panel(axes: Axes, points: DataFrame, looks: Mapping[str, Look], own: set[Any]) -> str:
    """Lines, rings and crosses; says so if some values are cut off."""
    known = points[points.value.notna()]
    is_log = bool((points.x > 0).all())
    axes.set(xscale="log" if is_log else "linear")
    if is_log:
        axes.set_xlim(points.x.min() / 1.3, points.x.max() * 1.3)
        plain_log(axes.xaxis, points.x)
    for value in own:
        axes.axvline(value, color=MUTED, linewidth=1, linestyle=DASHES, zorder=1)
    curves(looks, axes, known, "x", by="label")
    cut = limit(axes, known.value) if len(known) else ""
    low, high = axes.get_ylim()
    for row in each(known[known.chosen]):
        style: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 1.6, "clip_on": False}
        axes.plot([row.x], [min(max(row.value, low), high)], "o", markeredgecolor=looks[row.label].colour, **style)
    crosses(looks, axes, points, "x", "x", by="label")
    return cut
