"""What p-values decide: by closed forms, and by scipy's tests where it has them."""

import math

import numpy as np
import pytest
import scipy.stats

from bench.report.decisions import LEVEL, WORDS, Evidence, Spread, Tails, decided, evidence, holm, needed
from bench.report.statistics import MeanOverSets

NOISE = [-0.30, 0.28, -0.03, 0.31, -0.20]
ONE = Evidence(1, 1, 1)  # a family of one claim that got no word


def words(*family: Evidence) -> list[str]:
    return [WORDS[i] for i in decided(family)[0]]


def test_every_comparison_supports_and_one_contradicts() -> None:
    found = evidence([Tails(0.01, 0.99), Tails(0.02, 0.98), Tails(0.996, 0.004)])
    assert (found.supported, found.contradicted, found.tied) == pytest.approx((0.996, 0.012, 1.0))
    assert evidence([Tails(0.1, 0.9), Tails(0.2, 0.8)]).contradicted == 1.0
    # No effect is above the bound by the margin (0.02), and one of two is above it less the margin (2 x 0.01).
    tied = evidence([Tails(0.4, 0.6, 0.02, 0.01), Tails(0.1, 0.9, 0.001, 0.3)])
    assert tied.tied == pytest.approx(0.02)


def test_of_one_comparison_tied_is_two_one_sided_tests() -> None:
    test = MeanOverSets([NOISE]).below_and_above
    below = scipy.stats.ttest_1samp(NOISE, 0.5, alternative="less").pvalue
    above = scipy.stats.ttest_1samp(NOISE, -0.5, alternative="greater").pvalue
    assert evidence([Tails.of(test, 0.0, 0.5)]).tied == pytest.approx(max(below, above))
    assert words(evidence([Tails.of(test, 0.0, 0.5)])) == ["tied"]
    assert words(evidence([Tails.of(test, 0.0, 0.3)])) == words(evidence([Tails.of(test, 0.0)])) == ["undecided"]


def test_what_is_above_the_bound_by_less_than_the_margin_is_tied() -> None:
    """Contradicted and tied are both given to +0.35 of a margin of 1: it is as good as none."""
    values = [0.35 + 0.05 * x for x in NOISE]
    test = MeanOverSets([values]).below_and_above
    against = evidence([Tails.of(test, 0.0, 1.0)])
    assert max(against.contradicted, against.tied) < LEVEL
    assert words(against) == ["tied"] and words(evidence([Tails.of(test, 0.0)])) == ["contradicted"]
    # Below the bound it is better, however little.
    test = MeanOverSets([[-x for x in values]]).below_and_above
    assert words(evidence([Tails.of(test, 0.0, 1.0)])) == ["supported"]
    # Of two rivals: one worse by more than the margin is a contradiction whatever the other says.
    assert words(evidence([Tails(0.99, 0.001, 0.001, 0.001), Tails(0.999, 0.001, 0.99, 0.001)])) == ["contradicted"]


def test_holm_multiplies_the_least_by_all_and_the_largest_by_one() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    both = np.array([[0.01, 0.5], [0.04, 0.1], [0.03, 0.1], [0.005, 0.2]])
    assert holm(both)[:, 0] == pytest.approx(holm(both[:, 0])) and holm(both)[:, 1] == pytest.approx(holm(both[:, 1]))


def test_a_word_that_one_claim_gets_alone_it_may_not_get_among_several() -> None:
    strong, weak, against = Evidence(0.001, 1, 1), Evidence(0.02, 1, 1), Evidence(1, 0.005, 1)
    assert words(weak) == ["supported"]
    assert words(strong, weak, against) == ["supported", "undecided", "contradicted"]
    assert words(strong, weak) == ["supported", "supported"]  # the second step is the last
    assert words(strong, weak, Evidence(1, 1, 0.006)) == ["supported", "undecided", "tied"]
    _, left = decided([strong, weak, against])
    assert left == (2, 2, 3)


def spread(values: list[float], bound: float = 0.0, margin: float = math.nan) -> Spread:
    over = MeanOverSets([values])
    return Spread(float(over.mean) - bound, float(over.error), float(over.freedom), len(values), 1, margin)


def test_so_many_seeds_would_decide() -> None:
    over = MeanOverSets([NOISE])
    assert needed([spread(NOISE)], ONE) == math.ceil(5 * (over.half_width / over.mean) ** 2)
    assert needed([spread(NOISE, 0.2)], ONE) == math.ceil(5 * (over.half_width / (over.mean - 0.2)) ** 2)
    assert needed([spread(NOISE, -0.2)], ONE) == math.ceil(5 * (over.half_width / (over.mean + 0.2)) ** 2)
    # Of twelve claims that are left, the next one has to be below a twelfth of the level.
    half = scipy.stats.t.ppf(1 - LEVEL / 12, 4) * over.error
    assert needed([spread(NOISE)], Evidence(12, 12, 12)) == math.ceil(5 * (half / over.mean) ** 2)
    # All effects below: the one that needs most. One above: at the level of a contradiction by one of two.
    far = spread([x - 0.4 for x in NOISE])
    assert needed([spread(NOISE, 0.2), far], ONE) == needed([spread(NOISE, 0.2)], ONE)
    half = scipy.stats.t.ppf(1 - LEVEL / 2, 4) * over.error
    assert needed([spread(NOISE, -0.2), far], ONE) == math.ceil(5 * (half / (over.mean + 0.2)) ** 2)


def test_a_tie_may_be_found_before_a_lead() -> None:
    over = MeanOverSets([NOISE])
    as_tie = 5 * (over.half_width / (0.2 - abs(over.mean))) ** 2
    assert as_tie < 5 * (over.half_width / over.mean) ** 2
    assert needed([spread(NOISE, margin=0.2)], ONE) == math.ceil(as_tie)


def test_no_number_of_seeds_tells_an_effect_from_a_bound_that_it_is_at() -> None:
    assert needed([Spread(0.0, 0.1, 4.0, 5, 1, math.nan)], ONE) == math.inf
    assert needed([Spread(0.0, 0.1, 4.0, 5, 1, 0.5)], ONE) < math.inf


def test_seeds_that_all_agree_need_as_many_signs() -> None:
    agree = Spread(-0.3, 0.0, math.nan, 3, 1, math.nan)
    assert 2.0**-5 > LEVEL > 2.0**-6
    assert needed([agree], ONE) == 6
    assert needed([agree._replace(m=2, sets=2)], ONE) == 3
