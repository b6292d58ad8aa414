import math
import warnings

import pytest
import scipy.stats

from bench.report.statistics import one_more, repeated, sign_flip, student, t_interval


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


def test_student_is_scipys_paired_test() -> None:
    subject, rival = [3.70, 3.74, 3.69, 3.77, 3.71], [3.78, 3.79, 3.75, 3.78, 3.80]
    below, above = student([a - b for a, b in zip(subject, rival, strict=True)])
    assert below == pytest.approx(scipy.stats.ttest_rel(subject, rival, alternative="less").pvalue)
    assert above == pytest.approx(scipy.stats.ttest_rel(subject, rival, alternative="greater").pvalue)


@pytest.mark.parametrize("m", [2, 3, 6, 30])
def test_equal_values_are_tested_by_their_signs(m: int) -> None:
    assert student([-2.0] * m) == (2.0**-m, 1.0)
    assert student([2.0] * m) == (1.0, 2.0**-m)
    assert student([0.0] * m) == (1.0, 1.0)
    assert student([math.log(0.7)] * m) == (2.0**-m, 1.0)  # equal but for rounding


@pytest.mark.parametrize("m", [2, 3, 6])
def test_equal_values_have_the_p_values_of_the_sign_flip_test(m: int) -> None:
    assert student([-0.3] * m) == sign_flip([-0.3] * m)


def test_the_interval_and_the_test_agree() -> None:
    values = [0.3, 0.5, 0.1, 0.6]
    mean, half_width, _ = t_interval(values)
    below, above = student([x - (mean - half_width) for x in values])
    assert above == pytest.approx(0.025) and below == pytest.approx(0.975)


def test_sign_flip_counts_patterns_of_signs() -> None:
    # Of the 2^6 patterns of six negative values one has a sum as low, and all have one as high.
    assert sign_flip([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]) == (1 / 64, 1.0)
    # |x| = 1, 2, 3 with sum 0: (+,+,-), (-,-,+) make 0, and three patterns lie on either side.
    assert sign_flip([1.0, 2.0, -3.0]) == (5 / 8, 5 / 8)


def test_sign_flip_is_scipys_permutation_test() -> None:
    values = [-0.4, -0.1, 0.2, -0.5, -0.3, -0.2]
    for alternative, found in zip(("less", "greater"), sign_flip(values), strict=True):
        expected = scipy.stats.permutation_test(
            (values,), sum, permutation_type="samples", n_resamples=math.inf, alternative=alternative
        )
        assert found == pytest.approx(expected.pvalue)


def test_intervals_of_repeats_and_of_one_more() -> None:
    values = [1.0, 2.0, 3.0]
    stderr = 1 / math.sqrt(3)
    assert repeated(stderr, 3) == pytest.approx(t_interval(values).half_width)
    assert one_more(stderr, 3) == pytest.approx(scipy.stats.t.ppf(0.975, 2) * math.sqrt(1 + 1 / 3))
    assert math.isnan(repeated(stderr, 1)) and math.isnan(one_more(None, 3))
