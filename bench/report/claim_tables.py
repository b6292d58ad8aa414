"""Verdicts as tables: the claims of a suite one by one, the same by dataset, and every comparison as a tidy row."""

from collections.abc import Sequence
from typing import Any

from pandas import DataFrame

from bench.papers.paper import cited
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.verdicts import Verdict

COLUMNS = [
    *("claim", "title", "source", "suite", "protocol", "dataset", "verdict", "caveat", "comparison", "scale", "unit"),
    *("mean", "low", "high", "pairs", "kept", "p", "missing", "run_ids", "paper"),
]
HEADERS = (Header("Verdict"), Header("Effect"))
HOW = (
    "Supported: for every comparison the 95% interval of the effect, paired by seed, lies below the claim's bound. "
    "Contradicted: for some comparison an interval that is widened for their number lies above it. Effects are those "
    "of the comparison that decides; in brackets the seeds whose own effect is on the claim's side. Effects that are "
    "equal for all m seeds say nothing of their noise: they have no interval, and p = 2^-m."
)


def claim_tables(verdicts: Sequence[Verdict]) -> list[Grid]:
    """For every suite and protocol the claims with their verdicts, and for several datasets those on each."""
    grids = []
    for suite, protocol in dict.fromkeys((v.suite, v.protocol) for v in verdicts):
        of_suite = [v for v in verdicts if (v.suite, v.protocol) == (suite, protocol)]
        where, leading = f"(suite {suite}, protocol {protocol})", ("Claim", "Source")
        remarks = (*dict.fromkeys(f"Protocol {protocol}: {v.caveat}." for v in of_suite if v.caveat), HOW)
        several = len({v.claim.paper for v in of_suite}) > 1
        rows = tuple(_row(v, several, Entry(_word(v)), Entry(v.summary)) for v in of_suite)
        grids.append(Grid(f"Claims {where}", "quality", HEADERS, rows, remarks, leading))
        if datasets := tuple(dict.fromkeys(part.dataset for v in of_suite for part in v.parts)):
            on = [(v, {part.dataset: Entry(_word(part), title=part.summary) for part in v.parts}) for v in of_suite]
            rows = tuple(_row(v, several, *(of.get(name, Entry(ABSENT)) for name in datasets)) for v, of in on)
            title, headers = f"Claims by dataset {where}", tuple(map(Header, datasets))
            grids.append(Grid(title, "quality", headers, rows, remarks[:-1], leading))
    return grids


def tidy(verdicts: Sequence[Verdict]) -> DataFrame:
    """One row per comparison, with the columns COLUMNS; a verdict without any has one row."""
    rows: list[tuple[Any, ...]] = []
    for v in (part for whole in verdicts for part in (whole, *whole.parts)):
        claim = (v.claim.id, v.claim.title, v.claim.source, v.suite, v.protocol, v.dataset, v.word, v.caveat)
        rows += [
            (*claim, e.comparison, e.scale, e.unit, e.mean, e.low, e.high, e.pairs, e.kept, e.p,
             e.text if e.missing else "", e.run_ids, v.claim.paper)
            for e in v.effects
        ] or [(*claim, *[""] * (len(COLUMNS) - len(claim) - 1), v.claim.paper)]  # fmt: skip
    return DataFrame(rows, columns=COLUMNS)


def _row(verdict: Verdict, several: bool, *entries: Entry) -> Row:
    """A claim's line, which says whose it is beside those of several papers."""
    claim = verdict.claim
    return Row(claim.id, f"{claim.id} {claim.title}", cited(claim) if several else claim.source, entries)


def _word(verdict: Verdict) -> str:
    """The word, never bare below the paper's protocol."""
    return f"{verdict.word} ({verdict.protocol})" if verdict.caveat else verdict.word
