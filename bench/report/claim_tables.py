"""Verdicts as tables: the claims of a suite one by one, the same by dataset, and every comparison as a tidy row.

The tables are narrow, so that their source can be read: what a verdict says in full stands below them.
"""

from collections.abc import Sequence
from typing import Any

from pandas import DataFrame

from bench.papers.claims import SHORT
from bench.papers.paper import cited
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.verdicts import Verdict

COLUMNS = [
    *("claim", "title", "source", "suite", "protocol", "dataset", "verdict", "caveat", "comparison", "scale", "unit"),
    *("mean", "low", "high", "pairs", "kept", "p", "margin", "sets_below", "sets", "p_sets", "improvement", "missing"),
    *("run_ids", "paper", "tuning"),
]
HEADERS = (Header("Effect on the comparison that decides"), Header("Sets"))
UNTUNED, SAME = Header("Untuned"), "same"
OF_UNTUNED = (
    "Untuned: the word on runs at the suite's own settings, where it is another than on the tuned ones; fewer seeds "
    "decide less."
)
WIDEST, BESIDE = 53, 10  # characters of an effect, and of the column of untuned runs: a line has at most 120
QUALIFIED = "†"  # of a word with a caveat, which stands below
MARKS = {"supported": "+", "contradicted": "−", "tied": "=", "undecided": "?"}
LEGEND = ", ".join(f"{mark} {word}" for word, mark in MARKS.items())
HOW = (
    "Effects are paired by seed; their mean over datasets, which are independent, has Welch's 95% interval. "
    "Supported: every comparison is below the claim's bound. Tied, if not supported: none is above the bound by "
    "more than the margin (0.01 nats, 1% of bits/dim, a ratio of 1.05, or the claim's own), and one is not below "
    "it by more. Contradicted, if not tied: one is above the bound, beyond what so many comparisons bring by "
    "chance. Each word allows for all "
    "claims of its paper on this suite together (Holm, 2.5% a word), so the interval of a claim that is undecided"
    " may clear its bound. Sets: datasets on which the median of every comparison is on the claim's side. "
    "Wilcoxon's test over datasets needs six. Effects that are equal for all of m pairs say nothing of their "
    "noise: they have no interval, and p = 2^-m."
)


def claim_tables(verdicts: Sequence[Verdict]) -> list[Grid]:
    """For every suite and protocol the claims with their verdicts, and for several datasets those on each."""
    grids = []
    for suite, protocol in dict.fromkeys((v.suite, v.protocol) for v in verdicts):
        of_suite = [v for v in verdicts if (v.suite, v.protocol) == (suite, protocol)]
        where = f"(suite {suite}, protocol {protocol})"
        caveats = dict.fromkeys(f"{QUALIFIED} Protocol {protocol}: {v.caveat}." for v in of_suite if v.caveat)
        several = len({v.claim.paper for v in of_suite}) > 1
        tuned = any(v.untuned for v in of_suite)
        most = WIDEST - BESIDE * tuned
        lines = [(v, (_effect(v, most), _sets(v), *([_untuned(v)] if tuned else ()))) for v in of_suite]
        rows = tuple(Row(v.claim.id, _short(v), _word(v), entries) for v, entries in lines)
        remarks = (
            *caveats,
            HOW,
            *dict.fromkeys(f"{v.doubt}." for v in of_suite if v.doubt),
            *([OF_UNTUNED, f"{LEGEND}."] if tuned else ()),
            *(_in_full(v, several) for v in of_suite),
        )
        headers = (*HEADERS, *([UNTUNED] if tuned else ()))
        grids.append(Grid(f"Claims {where}", "quality", headers, rows, remarks, ("Claim", "Verdict")))
        if datasets := tuple(dict.fromkeys(part.dataset for v in of_suite for part in v.parts)):
            on = [
                (v, {part.dataset: Entry(MARKS[part.word], title=part.summary) for part in v.parts}) for v in of_suite
            ]
            lines = [(v, tuple(of.get(name, Entry(ABSENT)) for name in datasets)) for v, of in on]
            rows = tuple(Row(v.claim.id, v.claim.id, MARKS[v.word], entries) for v, entries in lines)
            title, headers = f"Claims by dataset {where}", tuple(map(Header, datasets))
            grids.append(Grid(title, "quality", headers, rows, (*caveats, f"{LEGEND}."), ("Claim", "All")))
    return grids


def tidy(verdicts: Sequence[Verdict]) -> DataFrame:
    """One row per comparison, with the columns COLUMNS; a verdict without any has one row.

    `tuning` is "untuned" in the rows of verdicts on the runs at the suite's own settings.
    """
    rows: list[tuple[Any, ...]] = []
    wholes = [(whole, "") for whole in verdicts]
    wholes += [(whole.untuned, "untuned") for whole in verdicts if whole.untuned]
    for v, tuning in ((part, tuning) for whole, tuning in wholes for part in (whole, *whole.parts)):
        claim = (v.claim.id, v.claim.title, v.claim.source, v.suite, v.protocol, v.dataset, v.word, v.caveat)
        rows += [
            (*claim, e.comparison, e.scale, e.unit, e.mean, e.low, e.high, e.pairs, e.kept, e.p, e.margin,
             sum(median < 0 for median in e.medians), len(e.medians), e.p_sets, e.improvement,
             e.text if e.missing else "", e.run_ids, v.claim.paper, tuning)
            for e in v.effects
        ] or [(*claim, *[""] * (len(COLUMNS) - len(claim) - 2), v.claim.paper, tuning)]  # fmt: skip
    return DataFrame(rows, columns=COLUMNS)


def _short(verdict: Verdict) -> str:
    """The claim's id and what it says, cut where it would make the table wide."""
    claim = verdict.claim
    return f"{claim.id} {_cut(claim.short or claim.title, SHORT)}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _effect(verdict: Verdict, most: int) -> Entry:
    """The effect on the comparison that decides, against whom; a hole if it has none."""
    one = verdict.deciding
    if one is None or one.missing:
        return Entry(ABSENT, title=verdict.summary)
    subject = f"{one.subject}, " if len(verdict.claim.subject) > 1 else ""
    return Entry(_cut(f"{one.text}, {subject}{one.rival}", most), title=verdict.summary)


def _sets(verdict: Verdict) -> Entry:
    below, sets = verdict.sets
    return Entry(f"{below} of {sets}" if sets else ABSENT)


def _untuned(verdict: Verdict) -> Entry:
    """The mark of the word on untuned runs, if it is another."""
    own = verdict.untuned
    if own is None:
        return Entry(ABSENT)
    return Entry(SAME if own.word == verdict.word else MARKS[own.word], title=own.summary)


def _in_full(verdict: Verdict, several: bool) -> str:
    """A claim, which says whose it is beside those of several papers, and what its verdict says."""
    claim = verdict.claim
    source = cited(claim) if several else claim.source
    said = f"{claim.id}: {claim.title}{f' ({source})' if source else ''}."
    said += f" {_word(verdict).capitalize()}: {verdict.summary}."
    own = verdict.otherwise
    return f"{said} Untuned {own.word}: {own.summary}." if own else said


def _word(verdict: Verdict) -> str:
    """The word, never bare below the paper's protocol."""
    return verdict.word + QUALIFIED * bool(verdict.caveat)
