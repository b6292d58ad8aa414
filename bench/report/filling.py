"""The frame with its holes filled, before it is cut into sections.

A planned run without a record knows less of itself than a finished one (no dataset version, no network): what all runs
of its dataset share is filled in. Stale rows (measured by older code) become holes that say so.
"""

import json
from collections.abc import Mapping

from pandas import DataFrame, Series

from bench.report.incidents import STALE
from bench.report.variants import SUITE, Config, named

RUN = ["variant", "dataset", "baseline", "seed", "suite", "protocol", "label"]


def filled(frame: DataFrame, configs: Mapping[str, Config]) -> DataFrame:
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
