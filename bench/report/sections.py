"""The frame cut into sections: one dataset of one version and setting under one protocol of one suite.

Only numbers of one section stand side by side, and runs of the current plan never beside those of earlier settings,
which have sections of their own. A section is an extract of the frame with the cells of its table.

Before it is cut the frame's holes are filled. A planned run without a record knows less of itself than a finished one
(no dataset version, no network): it gets what all runs of its dataset share. Stale rows (measured by older code) become
holes that say so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pandas import DataFrame, Series

from bench.config.choice import Choice
from bench.config.names import safe_name
from bench.records.frame import at_own_settings, reported
from bench.report import cells
from bench.report.cells import Scores, scored
from bench.report.comparable import of_one_kind, settled
from bench.report.extract import KEYS, Extract, listed
from bench.report.incidents import STALE
from bench.report.lost_points import beside_plain
from bench.report.variants import SUITE, Config, named

RUN = ["variant", "dataset", "baseline", "seed", "suite", "protocol", "label"]
EARLIER = " · earlier settings"


@dataclass(frozen=True)
class Section(Extract):
    """An extract with its table: what figures, verdicts and tables take their numbers from.

    Attributes:
        choices: what trials have chosen for the variants that are tuned.
        untuned: the same data by the runs at the suite's own settings, if it has such runs beside tuned ones.
    """

    choices: Mapping[str, Choice] = field(default_factory=dict)
    untuned: "Section | None" = None

    @property
    def is_tuned(self) -> bool:
        return bool((self.frame.tuning == "tuned").any())

    @cached_property
    def measured(self) -> DataFrame:
        return cells.measured(self)

    @cached_property
    def cells(self) -> DataFrame:
        """One row a cell of the table, with COLUMNS of bench/report/cells.py and the points that likelihoods lost."""
        return beside_plain(cells.cells(self, self.measured))

    def settled(self, metric: str, draws: int | None = None) -> str | None:
        """The settings that a metric is compared under, of K `draws` if given; None if no headline row has a value."""
        rows = self.cells
        rows = rows[(rows.metric == metric) & (rows.n > 0) & rows.is_headline]
        if draws is not None:
            rows = rows[[json.loads(settings).get("draws") == draws for settings in rows.settings]]
        return settled(rows.settings, rows.variant)

    def compared(self, metric: str) -> DataFrame:
        """The rows of `measured` that are compared: those of headline rows under the settings that are settled."""
        rows, settings = self.measured, self.settled(metric)
        rows = rows[(rows.metric == metric) & rows.is_headline]
        return rows[rows.comparable == settings] if settings else rows

    def scores(self, metric: str) -> Scores | None:
        """The means of a metric by variant, as they are compared."""
        settings = self.settled(metric)
        return scored(self.cells, metric, settings, self.about(metric)) if settings else None

    @property
    def left_out(self) -> list[str]:
        """What figures and verdicts leave out, as it was measured under other settings than most; a sentence each."""
        sentences = []
        headlines = self.cells[(self.cells.n > 0) & self.cells.is_headline]
        for metric, rows in headlines.groupby("metric"):
            kept = set(rows.variant[rows.settings == self.settled(str(metric))])
            if without := [label for v, label in self.labels.items() if v in set(rows.variant) - kept]:
                title = self.about(str(metric)).title
                sentences.append(f"{listed(without)} has no {title} under the settings that most variants share")
        for what, rows in (("the course of training", self.curve), ("the sweep", self.sweep)):
            for metric, of_metric in rows.groupby("metric"):
                if dropped := len(of_metric) - len(of_one_kind(of_metric)):
                    title = self.about(str(metric)).title
                    sentences.append(f"{dropped} values of {title} in {what} are of other settings than most")
        return [f"{self.name}: {sentence}: left out of figures and verdicts" for sentence in sentences]


def sections(
    frame: DataFrame, configs: Mapping[str, Config] | None = None, choices: Mapping[str, Choice] | None = None
) -> list[Section]:
    """The sections of a frame as their datasets come, earlier settings last; `configs` tell variants apart.

    Trials are in none of them, and untuned runs only in those that stand beside the sections of tuned ones.
    """
    own_settings = _cut(at_own_settings(frame), configs or {}) if (frame.tuning == "untuned").any() else []
    beside = {own.identity: own for own in own_settings if (own.frame.tuning == "untuned").any()}
    made = []
    for section in _cut(reported(frame), configs or {}):
        chosen = {variant: of for variant, of in (choices or {}).items() if variant in section.labels}
        own = beside.get(section.identity)
        own = own and replace(own, name=section.name, stem=section.stem, company=section.company)
        made.append(replace(section, choices=chosen, untuned=own))
    return made


def _cut(frame: DataFrame, configs: Mapping[str, Config]) -> list[Section]:
    grouped = _filled(frame, configs).groupby(KEYS, sort=False, dropna=False)
    groups: dict[Any, DataFrame] = {key: rows.reset_index(drop=True) for key, rows in grouped}
    keys: list[tuple[Any, ...]] = sorted(groups, key=lambda key: not key[-1])
    company = tuple(sorted({name for rows in groups.values() for name in rows.baseline.unique()}))
    found = []
    for key in keys:
        (suite, protocol, dataset, version, setting, current), name = key, _name(key, keys)
        identity = suite, protocol, dataset, version, setting, bool(current)
        found.append(Section(*identity, name, _stem(name), groups[key], company))
    return found


def _stem(name: str) -> str:
    """ "gaussian, mean = 3.0" -> "gaussian-mean=3.0"."""
    for text, written in ((" = ", "="), (", ", "-"), (EARLIER, "-earlier"), (" ", "_")):
        name = name.replace(text, written)
    return safe_name(name)


def _name(key: tuple[Any, ...], keys: list[tuple[Any, ...]]) -> str:
    """The dataset with its setting; and suite, protocol and version where it takes these to tell sections apart."""
    suite, protocol, dataset, version, setting, current = key
    alike = [other for other in keys if other[2::2] == (dataset, setting)]
    parts = [dataset, setting]
    parts += [f"suite {suite}"] if len({other[0] for other in alike}) > 1 else []
    parts += [f"protocol {protocol}"] if len({other[1] for other in alike}) > 1 else []
    versions = [other for other in alike if other[:2] + other[4:] == (suite, protocol, setting, current)]
    parts += [f"version {version}"] if len(versions) > 1 else []
    return ", ".join(filter(None, parts)) + (EARLIER if not current else "")


def _filled(frame: DataFrame, configs: Mapping[str, Config]) -> DataFrame:
    """The frame with what a row lacks taken from rows that share its run, and `settings` parsed; without `strays`."""
    frame = frame.copy()
    _share(frame, RUN, "run_id")
    frame = frame[frame.variant.notna()].copy()
    stale = frame.stale != ""
    frame["status"], frame["error"] = frame.status.mask(stale, STALE), frame.error.mask(stale, frame.stale)
    frame["seed"] = frame.seed.astype(int)
    # A run that never wrote a record goes by the registry's name of its baseline.
    frame["label"] = frame.label.mask(frame.label == frame.baseline)
    _share(frame, ["label"], "baseline")
    _share(frame, ["protocol"], "variant")
    frame["label"] = frame.label.fillna(frame.baseline)
    frame[SUITE] = frame[SUITE].ffill().bfill().fillna("unknown")
    frame = named(frame, configs)
    _share(frame, ["dataset_version"], "variant")
    _share(frame, ["dataset_version"], ["dataset", "setting"])
    frame["dataset_version"] = frame.dataset_version.ffill().bfill().fillna("unknown")
    parsed = [json.loads(text) for text in frame.settings]
    return frame.assign(parsed=Series(parsed, index=frame.index, dtype=object))


def _share(frame: DataFrame, columns: list[str], scope: str | list[str]) -> None:
    """Fill columns with their first value among the rows of equal `scope`."""
    frame[columns] = frame[columns].fillna(frame.groupby(scope)[columns].transform("first"))


def strays(frame: DataFrame) -> DataFrame:
    """Rows that belong to no run: unreadable records in folders of which neither plan nor another record tells."""
    return frame[frame.groupby("run_id").variant.transform("count") == 0]
