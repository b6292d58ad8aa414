"""What every method scores at so many evaluations or by a sampler, as a claim's `At` asks: rows of one sampler each.

In the sweep a sampler stands at the most evaluations within the budget, and has no place at it if it spends no more
than half of them there. Of several samplers the best is taken (bench/report/sweeps.py).
"""

from pandas import DataFrame, concat

from bench.papers.claims import ADAPTIVE, At
from bench.report.axes import sign_of
from bench.report.sections import Section
from bench.report.sweeps import best_of, most_within, swept


def drawn_at(section: Section, metric: str, at: At) -> DataFrame:
    """A row per run with a place there, with `solver`, the sampler; of value NaN what was lost."""
    rows = _in_samples(section, metric) if at.nfe is None else swept(section, metric)
    if at.sampler == ADAPTIVE:
        rows = rows[["rtol" in settings for settings in rows.parsed]]
    elif at.sampler:
        rows = rows[rows.solver == at.sampler]
    rows = rows if at.nfe is None else most_within(rows, at.nfe, above=at.nfe / 2)
    sign = sign_of(section.about(metric))
    found = [best_of(of_variant, sign) for _, of_variant in rows.groupby("variant", sort=False)]
    return concat(found) if found else rows


def _in_samples(section: Section, metric: str) -> DataFrame:
    """The rows of the samples that are compared, of every sampler the first that a record has."""
    rows = section.measured
    rows = rows[(rows.stage == "samples") & (rows.metric == metric) & (rows.comparable == section.settled(metric))]
    rows = rows.assign(solver=[str(settings.get("sampler")) for settings in rows.parsed], accuracy="")
    return rows.drop_duplicates(["variant", "seed", "solver"])
