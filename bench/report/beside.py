"""The rows of a headline table that are no method's: what the data itself scores, and what exact fields have."""

import json
import math
from collections.abc import Callable
from typing import Any

from pandas import DataFrame

from bench.metrics.metric import EXACT
from bench.metrics.metric import FLOOR as SUFFIX
from bench.papers.paper import REFERENCE
from bench.report.comparable import EXACT_FIELD, FLOOR, is_under
from bench.report.extract import each
from bench.report.statistics import one_more_of, repeated, repeats

FLOOR_OF = {"nll_nats": "nll_floor", "nll_defensive_nats": "nll_defensive_floor"}  # of others it is <metric>_floor
FLOORS = ("exact density", "as many data")  # what they are, of likelihoods and of all else
ROW = ["baseline", "label", "variant", "sampler", "batch", "is_headline"]
NOTHING = {
    **dict.fromkeys(ROW, ""),
    **{"is_headline": False, "own_density": False, "lost": 0, "lost_to": "", "hole": "", "word": "", "at_floor": False},
}


def is_at(mean: float, floor: Any, better: str) -> bool:
    """Whether a mean is not beyond the interval of a floor, by the direction in which it is worse."""
    excess = (floor["mean"] - mean) if better == "higher" else (mean - floor["mean"])
    return bool((excess if better else abs(excess)) <= floor["half_width"])


def floors_of(
    found: DataFrame, columns: list[tuple[str, str, str]], beside: Callable[[str, str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the data scores under each column, by as many samples and the same settings, or else by the most it has."""
    rows = []
    of_density = found.metric.isin(FLOOR_OF.values())
    of_data = found.metric.str.endswith(SUFFIX).astype(bool) & ~of_density
    label = f"Floor ({', '.join(word for word, of in zip(FLOORS, (of_density, of_data), strict=True) if of.any())})"
    row = NOTHING | {"baseline": FLOOR, "label": label}
    for stage, metric, settings in columns:
        floors = found[found.metric == FLOOR_OF.get(metric, f"{metric}{SUFFIX}")]
        column = json.loads(settings)
        floors = floors[floors.value.abs() < math.inf]
        is_within = {text: _within(metric, text, column) for text in floors.comparable.unique()}
        same = _most(floors[floors.comparable.map(is_within).astype(bool)])
        if len(same):
            by_run = same.groupby("run_id").value.mean()
            place = {"stage": stage, "metric": metric, "settings": settings}
            values = {"mean": float(by_run.mean()), "n": len(by_run), "run_ids": tuple(by_run.index)}
            # Of a density all runs know the same points as their models do: no set more is asked for.
            values["half_width"] = math.nan if metric in FLOOR_OF else one_more_of(same)
            n = same.n.iloc[0]
            values |= {"repeats": repeats(same)[1], "of_fewer": int(n) if n < column.get("n", 0) else 0}
            rows.append(row | place | values | beside(REFERENCE, metric, settings))
    return rows


def _within(metric: str, floor: str, column: dict[str, Any]) -> bool:
    """Whether a floor under some settings is one of a metric's column, of no more samples."""
    settings = json.loads(floor)
    n, samples = settings.pop("n", 0), column.get("n", 0)
    return is_under(settings, column) and (n == samples or (metric not in FLOOR_OF and n < samples))


def _most(floors: DataFrame) -> DataFrame:
    """Those of the most samples."""
    return floors[(floors.n == floors.n.max()) | floors.n.isna()]


def exact_of(found: DataFrame, columns: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """What the exact field of each path has under each column, with the 95% interval of its mean over samples."""
    rows = []
    for stage, metric, settings in columns:
        column, exact = json.loads(settings), found[found.metric == f"{metric}{EXACT}"]
        for cell in each(exact.drop_duplicates("settings")):
            own = json.loads(cell.comparable)
            if is_under(own, column) and math.isfinite(cell.value):
                path = own["path"]
                row = NOTHING | {"baseline": EXACT_FIELD, "label": f"Exact field ({path} path)", "variant": path}
                row |= {"stage": stage, "metric": metric, "settings": settings, "mean": cell.value}
                half = math.nan if math.isnan(cell.stderr or math.nan) else repeated(cell.stderr, int(cell.n))
                row |= {"half_width": half, "n": 1, "run_ids": (cell.run_id,), "repeats": 1, "of_fewer": 0}
                rows.append(row | {"published": math.nan, "published_source": ""})
    return rows
