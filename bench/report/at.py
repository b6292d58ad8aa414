"""What every method scores at so many evaluations or by a sampler, as a claim's `At` asks: rows of one sampler each.

In the sweep a sampler stands at the most evaluations within the budget (bench/report/sweeps.py), and has no place at it
if it spends no more than half of them there. Of several samplers the one of the best mean over seeds is taken, of those
that lost the fewest seeds.
"""

from pandas import DataFrame, concat

from bench.papers.claims import At
from bench.report.axes import sign_of
from bench.report.sections import Section
from bench.report.sweeps import spent, swept


def drawn_at(section: Section, metric: str, at: At) -> DataFrame:
    """A row per run with a place there, with `solver`, the sampler; of value NaN what was lost."""
    rows = _in_samples(section, metric) if at.nfe is None else swept(section, metric)
    sign = sign_of(section.about(metric))
    found = [_best(of_variant, at, sign) for _, of_variant in rows.groupby("variant", sort=False)]
    return concat(found) if found else rows


def _best(rows: DataFrame, at: At, sign: int) -> DataFrame:
    """The rows of a variant by its best sampler, of those that are asked for."""
    places = []
    for name, own in rows.groupby("solver", sort=False):
        if at.nfe is not None:
            within = {place: nfe for place, nfe in spent(own).items() if at.nfe / 2 < nfe <= at.nfe}
            own = own[own.accuracy == max(within, key=lambda place: within[place], default=None)]
        if len(own) and at.sampler in ("", name):
            places.append(own)
    return min(places, key=lambda own: (own.value.isna().sum(), sign * own.value.mean()), default=rows[:0])


def _in_samples(section: Section, metric: str) -> DataFrame:
    """The rows of the samples that are compared, of every sampler the first that a record has."""
    rows = section.measured
    rows = rows[(rows.stage == "samples") & (rows.metric == metric) & (rows.comparable == section.settled(metric))]
    rows = rows.assign(solver=[str(settings.get("sampler")) for settings in rows.parsed])
    return rows.drop_duplicates(["variant", "seed", "solver"])
