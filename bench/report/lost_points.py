"""Held-out points that a model loses (bench/evaluation/defensive.py), beside the plain mean that hangs on them."""

import json

from pandas import DataFrame

NUMBER = "lost_points"
PLAIN = {"nll_nats": "nll_defensive_nats", "nll_bpd": "nll_defensive_bpd"}  # with the twin that bounds what one costs
PLACE = ["variant", "sampler", "batch", "settings"]
MIXTURE = ("epsilon", "mixed_with")  # settings that the plain one has not


def beside_plain(cells: DataFrame) -> DataFrame:
    """The cells with `lost_points` of `of_points` held-out points of all runs; 0 of 0 but of plain likelihoods."""
    counts: dict[tuple[str, ...], tuple[int, int]] = {}
    counted = cells[(cells.metric == NUMBER) & (cells.n > 0)]
    for *row, text, mean, runs in counted[[*PLACE, "mean", "n"]].itertuples(index=False):
        settings = {key: value for key, value in json.loads(text).items() if key not in MIXTURE}
        counts[(*row, json.dumps(settings, sort_keys=True))] = round(mean * runs), settings.get("n", 0) * runs
    found = [counts.get(tuple(place), (0, 0)) for place in cells[PLACE].itertuples(index=False)]
    lost, of = ([pair[i] for pair in found] for i in (0, 1))
    is_plain = cells.metric.isin(list(PLAIN)).astype(int)
    return cells.assign(lost_points=lost * is_plain, of_points=of * is_plain)


def told(lost: int, of: int) -> str:
    """ "(3 of 40,000 points lost)", or nothing where none is."""
    return f"({lost:,} of {of:,} points lost)" if lost else ""
