import math
import warnings

import numpy as np
import pytest
import scipy.stats

from bench.report.statistics import (
    MeanOverSets,
    one_more,
    repeated,
    sign_flip,
    signed_rank,
    t_interval,
    within_runs,
)


def test_t_interval_against_tabulated_quantiles() -> None:
    # t_{0.975} is 4.302653 for 2 degrees of freedom and 2.776445 for 4 (tables of Student's t).
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.302653 / math.sqrt(3), 3), abs=1e-6)
    mean, half_width, n = t_interval([2.0, 4.0, 4.0, 4.0, 6.0])
    assert (mean, n) == (4.0, 5)
    assert half_width == pytest.approx(2.776445 * math.sqrt(2) / math.sqrt(5), abs=1e-6)


def test_one_seed_has_no_interval() -> None:
    mean, half_width, n = t_interval([3.5])
    assert (mean, n) == (3.5, 1)
    assert math.isnan(half_width)


def test_a_diverged_seed_makes_the_mean_infinite_and_the_interval_unknown() -> None:
    mean, half_width, n = t_interval([3.5, math.inf])
    assert (mean, n) == (math.inf, 2)
    assert math.isnan(half_width)


def test_the_largest_numbers_have_an_interval_without_end_and_no_warning() -> None:
    with warnings.catch_warnings(action="error"):
        assert t_interval([1e308, -1e308, 1e308]).half_width == math.inf
        assert math.isnan(t_interval([math.inf, -math.inf]).mean)


SUBJECT, RIVAL = [3.70, 3.74, 3.69, 3.77, 3.71], [3.78, 3.79, 3.75, 3.78, 3.80]
PAIRED = [a - b for a, b in zip(SUBJECT, RIVAL, strict=True)]
OTHER = [0.10, -0.30, -0.20, 0.05, -0.15, 0.00, -0.25]


def test_on_one_dataset_the_mean_has_students_paired_test_and_interval() -> None:
    over = MeanOverSets([PAIRED])
    assert over.below_and_above() == pytest.approx([
        scipy.stats.ttest_rel(SUBJECT, RIVAL, alternative=side).pvalue for side in ("less", "greater")
    ])  # fmt: skip
    assert (over.mean, over.half_width) == pytest.approx(t_interval(PAIRED)[:2])
    assert over.freedom == pytest.approx(4)


def test_over_two_datasets_it_has_welchs() -> None:
    """The mean of two means is half the difference of one and minus the other."""
    over = MeanOverSets([PAIRED, OTHER])
    turned = [-x for x in OTHER]
    welch = [scipy.stats.ttest_ind(PAIRED, turned, equal_var=False, alternative=side) for side in ("less", "greater")]
    both = scipy.stats.ttest_ind(PAIRED, turned, equal_var=False)
    assert over.below_and_above() == pytest.approx([test.pvalue for test in welch])
    assert over.mean / over.error == pytest.approx(both.statistic) and over.freedom == pytest.approx(both.df)
    low, high = both.confidence_interval()
    assert (over.mean - over.half_width, over.mean + over.half_width) == pytest.approx((low / 2, high / 2))
    bound = over.mean - over.half_width
    assert over.below_and_above(float(bound)) == pytest.approx((0.975, 0.025))


def test_over_equal_sets_the_degrees_of_freedom_add_up() -> None:
    over = MeanOverSets([[x + d for x in PAIRED] for d in range(8)])
    assert over.freedom == pytest.approx(8 * 4)
    assert over.error == pytest.approx(scipy.stats.sem(PAIRED) / 8**0.5)


def test_a_dataset_whose_values_agree_adds_nothing_to_the_error() -> None:
    over = MeanOverSets([PAIRED, [-0.3] * 5])
    assert over.mean == pytest.approx((sum(PAIRED) / 5 - 0.3) / 2)
    assert over.error == pytest.approx(scipy.stats.sem(PAIRED) / 2) and over.freedom == pytest.approx(4)


def test_many_at_once_have_what_each_has() -> None:
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(3, m)) for m in (5, 4)]
    sets[0][2], sets[1][2] = -1.0, -2.0  # equal on both datasets
    over = MeanOverSets(sets)
    for i in range(3):
        one = MeanOverSets([of[i] for of in sets])
        assert np.array(over.below_and_above(0.1))[:, i] == pytest.approx(np.array(one.below_and_above(0.1)))
        assert over.half_width[i] == pytest.approx(one.half_width, nan_ok=True)


@pytest.mark.parametrize("m", [2, 3, 6, 30])
def test_equal_values_are_tested_by_their_signs(m: int) -> None:
    def p(value: float, bound: float = 0.0) -> tuple[float, float]:
        return MeanOverSets([[value] * m]).below_and_above(bound)

    assert p(-2.0) == (2.0**-m, 1.0) and p(2.0) == (1.0, 2.0**-m) and p(0.0) == (1.0, 1.0)
    assert p(math.log(70) - math.log(100)) == (2.0**-m, 1.0)  # equal but for rounding
    assert p(math.log(70) - math.log(100), math.log(0.7)) == (1.0, 1.0)  # at the bound but for rounding
    assert math.isnan(MeanOverSets([[-2.0] * m]).half_width)


def test_equal_values_on_all_datasets_are_tested_by_the_signs_of_all() -> None:
    assert MeanOverSets([[-2.0] * 3, [-1.0] * 5]).below_and_above() == (2.0**-8, 1.0)
    assert MeanOverSets([[-2.0] * 3, [1.0] * 5]).below_and_above() == (1.0, 1.0)


@pytest.mark.parametrize("m", [2, 3, 6])
def test_equal_values_have_the_p_values_of_the_sign_flip_test(m: int) -> None:
    assert MeanOverSets([[-0.3] * m]).below_and_above() == sign_flip([[-0.3] * m])


def test_sign_flip_counts_patterns_of_signs() -> None:
    # Of the 2^6 patterns of six negative values one has a sum as low, and all have one as high.
    assert sign_flip([[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]]) == (1 / 64, 1.0)
    # |x| = 1, 2, 3 with sum 0: (+,+,-), (-,-,+) make 0, and three patterns lie on either side.
    assert sign_flip([[1.0, 2.0, -3.0]]) == (5 / 8, 5 / 8)


def test_sign_flip_is_scipys_permutation_test() -> None:
    values = [-0.4, -0.1, 0.2, -0.5, -0.3, -0.2]
    for alternative, found in zip(("less", "greater"), sign_flip([values]), strict=True):
        expected = scipy.stats.permutation_test(
            (values,), sum, permutation_type="samples", n_resamples=math.inf, alternative=alternative
        )
        assert found == pytest.approx(expected.pvalue)


def test_sign_flip_weighs_values_by_their_datasets() -> None:
    # Shares -1, -1 and -3 of the mean of two datasets: of the 2^3 patterns one has a sum as low as -5.
    assert sign_flip([[-2.0, -2.0], [-3.0]]) == (1 / 8, 1.0)
    # Shares 1, 1 and -3: sums -5, -3, -3, -1 are as low as -1.
    assert sign_flip([[2.0, 2.0], [-3.0]]) == (4 / 8, 5 / 8)
    assert sign_flip([[3.0, 3.0], [-2.0]], bound=1.0) == (4 / 8, 5 / 8)


def test_beyond_twenty_values_students_t_stands_for_sign_flips() -> None:
    sets = [PAIRED] * 5
    assert sign_flip(sets) == MeanOverSets(sets).below_and_above()


def test_ranks_of_datasets_are_tested_exactly_from_six_on() -> None:
    assert signed_rank([-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7, -0.8]) == pytest.approx(2 / 2**8)
    # Of the 2^6 patterns those with a rank sum of at most 1: {} and {1}; twice that.
    assert signed_rank([0.1, -0.2, -0.3, -0.4, -0.5, -0.6]) == pytest.approx(4 / 2**6)
    assert math.isnan(signed_rank([-0.1] * 5)) and math.isnan(signed_rank([0.0] * 8))


def test_intervals_of_repeats_and_of_one_more() -> None:
    values = [1.0, 2.0, 3.0]
    stderr = 1 / math.sqrt(3)
    assert repeated(stderr, 3) == pytest.approx(t_interval(values).half_width)
    assert one_more(stderr, 3) == pytest.approx(scipy.stats.t.ppf(0.975, 2) * math.sqrt(1 + 1 / 3))
    assert math.isnan(repeated(stderr, 1)) and math.isnan(one_more(None, 3))


def test_the_spread_within_runs_is_pooled_over_them() -> None:
    """Two runs of three repeats: 4 degrees of freedom, variance the mean of theirs."""
    pooled = math.sqrt((0.03**2 + 0.04**2) / 2)
    assert within_runs([0.03, 0.04], 3) == pytest.approx(2.776445 * pooled, rel=1e-6)
    assert within_runs([0.03], 3) == pytest.approx(repeated(0.03, 3))
    assert math.isnan(within_runs([0.03, 0.04], 1)) and math.isnan(within_runs([0.03, None], 3))
