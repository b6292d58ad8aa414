"""The runs at the suite's own settings beside the tuned ones that a report is about: their numbers, and their verdicts.

They are judged as a suite of their own, so no effect mixes the two: by the untuned runs of each dataset that has some,
and by all runs of a dataset that is not tuned. A dataset that is tuned and has no untuned run has no part in them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.papers.claims import Claim
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.remarks import caption
from bench.report.sections import Section
from bench.report.tuning import baselines_of
from bench.report.verdicts import Verdict, verdicts
from bench.report.vocabulary import headed

LEADING = ("Method", "Untuned seeds")
HOW = "Untuned: at the suite's own settings. Tuned: at what the trials have chosen, of all reported seeds."


def with_untuned(
    claims: Iterable[Claim], sections: Sequence[Section], judged: Iterable[Verdict], complaints: list[str]
) -> list[Verdict]:
    """The verdicts, each with the one on the untuned runs if its suite has such runs."""
    tuned = {(s.suite, s.protocol) for s in sections if s.untuned}
    of_tuned = [s for s in sections if (s.suite, s.protocol) in tuned]
    own = [s.untuned or s for s in of_tuned if s.untuned or not s.is_tuned]
    beside = {_place(verdict): verdict for verdict in (verdicts(claims, own, complaints) if own else ())}
    return [replace(verdict, untuned=beside.get(_place(verdict))) for verdict in judged]


def _place(verdict: Verdict) -> tuple[str, ...]:
    claim = verdict.claim
    return claim.paper, claim.id, verdict.suite, verdict.protocol


def grids(section: Section) -> list[Grid]:
    """Likelihood and quality of the untuned runs beside the tuned ones, a row per method that has both; or no grid."""
    own = section.untuned
    if own is None:
        return []
    tuned, untuned = _methods(section, "tuned"), _methods(own, "untuned")
    pairs = {label: (untuned[label], tuned[label]) for label in untuned if label in tuned}
    headers, entries = list[Header](), {label: list[Entry]() for label in pairs}
    for metric in dict.fromkeys(filter(None, map(section.metric, ("nll", "quality")))):
        before, after = own.scores(metric), section.scores(metric)
        if not (before and after and before.settings == after.settings):
            continue
        headers += [Header(f"{headed(after.about)}, {which}", after.about.direction) for which in ("untuned", "tuned")]
        for label, (one, other) in pairs.items():
            found = before.values.get(one), after.values.get(other)
            entries[label] += [Entry("", *value) if value else Entry(ABSENT) for value in found]
    baselines, seeds = baselines_of(own), own.frame[own.frame.status == "ok"].groupby("variant").seed.nunique()
    rows = []
    for label, of in entries.items():
        if any(entry.is_number for entry in of):
            rows.append(Row(baselines[untuned[label]], label, str(seeds[untuned[label]]), tuple(of)))
    title, data = f"{section.name}: untuned beside tuned {section.where}", (section.name,)
    grid = Grid(title, "quality", tuple(headers), tuple(rows), (caption(section), HOW), LEADING, data, section.protocol)
    return [grid] if rows else []


def notes(section: Section) -> list[str]:
    """What failed of the untuned runs or was not run, and why."""
    return [f"Untuned: {incident}" for incident in (section.untuned.incidents if section.untuned else ())]


def _methods(section: Section, tuning: str) -> dict[str, str]:
    """The variants of that kind by label."""
    kinds = section.frame.drop_duplicates("variant").set_index("variant").tuning
    return {label: variant for variant, label in section.labels.items() if kinds[variant] == tuning}
