"""The simulated errors of verdicts: the committed table is of this rule, and its exact cases are exact."""

from pathlib import Path

import numpy as np
import pytest
import verdict_errors
from verdict_errors import CASES, Case, cells, held, normal

from bench.report.decisions import LEVEL

TABLE = Path(__file__).parents[2] / "results" / "reference" / "verdict_errors.md"
FEW = 4000


def within(share: float, expected: float, n: int) -> bool:
    return abs(share - expected) < 4 * (max(expected * (1 - expected), 1e-3) / n) ** 0.5


def test_of_one_dataset_and_of_normal_noise_the_level_is_exact() -> None:
    shares = Case("0", normal, seeds=(5,)).shares(FEW)
    assert within(shares["supported"], LEVEL, FEW) and within(shares["contradicted"], LEVEL, FEW)


@pytest.mark.slow
def test_the_committed_table_is_of_this_rule() -> None:
    """Every row again with few repetitions: a rule that errs or decides otherwise is out of date there."""
    lines = [line.strip("|").split("|") for line in TABLE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    found = [[text.strip() for text in line] for line in lines]
    assert tuple(found[0]) == verdict_errors.HEADER
    for case, line in zip(CASES, found[2:], strict=True):
        shares = case.shares(1000, seed=1)
        again = cells(case, shares)
        assert line[:5] == again[:5] and [not text for text in line[5:8]] == [not text for text in again[5:8]]
        printed = {word: float(text) for word, text in zip(shares, line[5:8], strict=True) if text}
        assert [word for word, share in printed.items() if not within(shares[word], share, 1000)] == []
        assert line[8] == held(case, printed)


def test_the_size_of_tied_is_seen_at_the_margin() -> None:
    """At either margin tied is given about as often as it may be: no other word comes before it."""
    for mean in (0.5, -0.5):
        (case,) = (c for c in CASES if (c.effect, c.noise) == (f"{mean:+}, at the margin", normal))
        assert within(case.shares(FEW)["tied"], LEVEL, FEW)


def test_a_row_draws_what_it_says() -> None:
    rng = np.random.default_rng(0)
    case = Case("", normal, (-0.5, 2.0), seeds=(5, 4))
    first, second = case.effects(rng, FEW)
    assert [of.shape for of in first] == [(FEW, 5), (FEW, 4)]
    assert first[0].mean() == pytest.approx(-0.5, abs=0.03) and second[1].mean() == pytest.approx(2.0, abs=0.04)
    # The subject's noise is in both: half of the variance.
    assert np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    for noise in (verdict_errors.unlike_scales, verdict_errors.lost_points, verdict_errors.lognormal):
        drawn = noise(rng, (20 * FEW, 3, 1))
        assert abs(drawn.mean()) < 4 * drawn.std() / drawn.size**0.5
