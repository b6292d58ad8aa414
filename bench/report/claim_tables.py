"""Verdicts as tables: the claims of a suite one by one, the same by dataset, and every comparison as a tidy row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.report.grid import ABSENT, Entry, Grid, Row
from bench.report.verdicts import Verdict

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = [
    *("claim", "title", "source", "suite", "protocol", "dataset", "verdict", "caveat", "comparison", "scale", "unit"),
    *("mean", "low", "high", "pairs", "kept", "p", "missing", "run_ids"),
]
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
        mine = [v for v in verdicts if (v.suite, v.protocol) == (suite, protocol)]
        where = f"(suite {suite}, protocol {protocol})"
        whole = [v for v in mine if not v.dataset]
        remarks = (*dict.fromkeys(f"Protocol {protocol}: {v.caveat}." for v in whole if v.caveat), HOW)
        rows = tuple(_row(v, Entry(_word(v)), Entry(v.summary)) for v in whole)
        grids.append(Grid(f"Claims {where}", "quality", ("Verdict", "Effect"), rows, remarks, ("Claim", "Source")))
        datasets = tuple(dict.fromkeys(v.dataset for v in mine if v.dataset))
        if datasets:
            at = {(v.claim.id, v.dataset): v for v in mine}
            found = [[at.get((v.claim.id, dataset)) for dataset in datasets] for v in whole]
            lines = [_row(v, *map(_short, line)) for v, line in zip(whole, found, strict=True)]
            title = f"Claims by dataset {where}"
            grids.append(Grid(title, "quality", datasets, tuple(lines), remarks[:-1], ("Claim", "Source")))
    return grids


def tidy(verdicts: Sequence[Verdict]) -> "DataFrame":
    """One row a comparison, with the columns COLUMNS; a verdict without any has one row."""
    import pandas

    rows: list[tuple[Any, ...]] = []
    for v in verdicts:
        claim = (v.claim.id, v.claim.title, v.claim.source, v.suite, v.protocol, v.dataset, v.word, v.caveat)
        rows += [
            (*claim, e.comparison, e.scale, e.unit, e.mean, e.low, e.high, e.pairs, e.kept, e.p,
             e.text if e.missing else "", e.run_ids)
            for e in v.effects
        ] or [(*claim, *[""] * (len(COLUMNS) - len(claim)))]  # fmt: skip
    return pandas.DataFrame(rows, columns=COLUMNS)


def _row(verdict: Verdict, *entries: Entry) -> Row:
    return Row(verdict.claim.id, f"{verdict.claim.id} {verdict.claim.title}", verdict.claim.source, entries)


def _word(verdict: Verdict) -> str:
    """The word, never bare below the paper's protocol."""
    return f"{verdict.word} ({verdict.protocol})" if verdict.caveat else verdict.word


def _short(verdict: Verdict | None) -> Entry:
    return Entry(_word(verdict), title=verdict.summary) if verdict else Entry(ABSENT)
