"""What every method scores at so many evaluations or by a sampler, as a claim's `At` asks: rows of one sampler each.

In the sweep a sampler stands at the most evaluations within the budget, and has no place at it if it spends no more
than half of them there. Of several samplers the best is taken (bench/report/sweeps.py).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pandas import DataFrame, concat

from bench.config.settings import Sweep
from bench.config.validated import validated
from bench.errors import UsageError
from bench.papers.claims import At
from bench.report.axes import sign_of
from bench.report.sections import Section
from bench.report.sweeps import best_of, most_within, swept

if TYPE_CHECKING:
    from bench.methods.sampler import Sampler


def drawn_at(section: Section, metric: str, at: At) -> DataFrame:
    """A row per run with a place there, with `solver`, the sampler; of value NaN what was lost."""
    rows = _in_samples(section, metric) if at.nfe is None else swept(section, metric)
    rows = rows[rows.solver == at.sampler] if at.sampler else rows
    rows = rows if at.nfe is None else most_within(rows, at.nfe, above=at.nfe / 2)
    sign = sign_of(section.about(metric))
    found = [best_of(of_variant, sign) for _, of_variant in rows.groupby("variant", sort=False)]
    return concat(found) if found else rows


def may_be_drawn_at(config: Mapping[str, Any], at: At) -> bool:
    """Whether a run of the configuration may have a place there, as far as its sweep tells; yes, if it does not."""
    if at.nfe is None or "evaluation" not in config:
        return True
    from bench.config.sampling import swept as samplers_of  # loads PyTorch

    sweep = config["evaluation"].get("sweep")
    try:
        named = samplers_of(validated(Sweep, sweep, "sweep")) if sweep else []
    except UsageError:  # a sampler of a plugin that is not here
        return True
    return any(_may_stand(sampler, at.nfe) for sampler in named if at.sampler in ("", sampler.label))


def _may_stand(sampler: "Sampler", nfe: int) -> bool:
    """Whether one draw may spend the evaluations; a step may spend fewer than it costs at most, but one at least."""
    if sampler.evaluations is None:
        return True
    from bench.methods.guidance import evaluations_at

    of_one = evaluations_at(sampler.guidance)
    least = getattr(sampler, "steps", 0) * of_one
    return least <= nfe and sampler.evaluations * of_one > nfe / 2


def _in_samples(section: Section, metric: str) -> DataFrame:
    """The rows of the samples that are compared, of every sampler the first that a record has."""
    rows = section.measured
    rows = rows[(rows.stage == "samples") & (rows.metric == metric) & (rows.comparable == section.settled(metric))]
    rows = rows.assign(solver=[str(settings.get("sampler")) for settings in rows.parsed], accuracy="")
    return rows.drop_duplicates(["variant", "seed", "solver"])
