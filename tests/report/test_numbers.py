import math

import pytest

from bench.report import numbers


@pytest.mark.parametrize(
    ("mean", "half_width", "n", "text"),
    [
        (3.82412, 0.0133, 3, "3.824 ± 0.013"),
        (3.82412, 0.033, 3, "3.82 ± 0.03"),
        (3.82412, 0.0199, 3, "3.82 ± 0.02"),
        (44_540.4, 312.0, 3, "44,500 ± 300"),
        (44_540.4, 112.0, 3, "44,540 ± 110"),
        (38.0, 0.0, 3, "38 ± 0"),
        (0.3, 1.21, 2, "0.3 ± 1.2"),
        (27.4, 214.0, 2, "30 ± 210"),
        (0.00012, 0.5, 2, "0.00 ± 0.50"),
        (-0.17, 0.02, 3, "−0.17 ± 0.02"),
        (0.00123, 0.0004, 3, "0.0012 ± 0.0004"),
        (3.82412, math.nan, 1, "3.824 (n=1)"),
        (math.inf, math.nan, 3, "∞"),
        (2.3e23, 6.4e23, 5, "2e23 ± 6e23"),
        (3.5, 2e22, 5, "3.5 ± 2e22"),
    ],
)
def test_digits_follow_the_interval(mean: float, half_width: float, n: int, text: str) -> None:
    assert numbers.measured(mean, half_width, n) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.14159, "3.142"), (67_074.0, "67,074"), (1234.56, "1,235"), (0.0, "0"), (1.5e-6, "1.500e−6"), (math.nan, "NaN")],
)
def test_four_digits_without_an_interval(value: float, text: str) -> None:
    assert numbers.plain(value) == text


@pytest.mark.parametrize(
    ("interval", "scale", "unit", "text"),
    [
        ((-0.0412, -0.0523, -0.0301), "difference", "nats", "−0.041 [−0.052, −0.030] nats"),
        ((0.621, 0.6, 0.643), "ratio", "", "× 0.621 [0.600, 0.643]"),
        ((2.0, 2.0, 2.0), "ratio", "", "× 2.00 [2.00, 2.00]"),
        ((-2.3e23, -8.7e23, 4.1e23), "difference", "nats", "−2.3e23 [−8.7e23, +4.1e23] nats"),
        ((0.5, math.nan, math.nan), "difference", "", "+0.500"),
        ((4.6e-12, 3e-21, 0.0069), "ratio", "", "× 5e−12 [3e−21, 0.0069]"),
        ((0.00052, 0.00004, 0.0069), "ratio", "", "× 0.0005 [4e−5, 0.0069]"),
        ((0.0, 0.0, 0.0), "difference", "", "+0.0 [+0.0, +0.0]"),
    ],
)
def test_an_effect_has_two_digits_of_its_interval(
    interval: tuple[float, float, float], scale: str, unit: str, text: str
) -> None:
    assert numbers.effect(*interval, scale, unit) == text
