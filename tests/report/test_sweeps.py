"""Which sampler of a method stands at so many evaluations, and which one is its best."""

import math

import pytest
from pandas import DataFrame

from bench.report.sweeps import best_of, most_within, spent

COLUMNS = ["variant", "solver", "accuracy", "seed", "nfe", "value"]


def rows(*places: tuple[str, str, list[float], list[float]], variant: str = "a") -> DataFrame:
    """A row per seed of every place: its sampler, its accuracy, the evaluations and the value of each seed."""
    return DataFrame(
        [
            (variant, solver, accuracy, seed, nfe, value)
            for solver, accuracy, spent_by, values in places
            for seed, (nfe, value) in enumerate(zip(spent_by, values, strict=True))
        ],
        columns=COLUMNS,
    )


def names(found: DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(found.solver, found.accuracy, strict=True)))


@pytest.mark.parametrize(
    ("places", "sign", "winner"),
    [
        ({"euler": [3.0, 1.0], "heun2": [1.5, 1.0]}, 1, "heun2"),
        ({"euler": [3.0, 1.0], "heun2": [1.5, 1.0]}, -1, "euler"),  # more is better
        ({"euler": [9.0, 9.0], "heun2": [0.1, math.nan]}, 1, "euler"),  # which lost no seed
        ({"euler": [math.nan, math.nan], "heun2": [9.0, math.nan]}, 1, "heun2"),
        ({"heun2": [1.0, 3.0], "euler": [2.0, 2.0]}, 1, "euler"),  # of equal means the first by name
        ({"heun2": [math.nan], "euler": [math.nan]}, 1, "euler"),
    ],
)
def test_the_best_lost_the_fewest_seeds_then_has_the_best_mean(
    places: dict[str, list[float]], sign: int, winner: str
) -> None:
    made = rows(*((solver, "4", [4.0] * len(values), values) for solver, values in places.items()))
    found = best_of(made, sign)
    assert found.solver.tolist() == [winner] * len(places[winner])
    assert found.value.equals(made.value[made.solver == winner])


def test_of_one_sampler_the_best_is_one_of_its_accuracies_and_of_nothing_nothing() -> None:
    made = rows(("euler", "3", [3.0], [2.0]), ("euler", "4", [4.0], [5.0]))
    assert names(best_of(made, 1)) == [("euler", "3")]
    assert best_of(made[:0], 1).empty


def test_a_place_has_spent_the_mean_of_its_seeds_that_have_a_value() -> None:
    made = rows(("dopri5", "0.1", [14.0, 20.0, 99.0], [1.0, 2.0, math.nan]), ("euler", "9", [9.0], [math.nan]))
    assert spent(made).tolist() == [17, 17, 17, 9]


@pytest.mark.parametrize(
    ("budget", "above", "expected"),
    [
        (8, 0, [("euler", "8"), ("midpoint", "3")]),
        (8, 6, [("euler", "8")]),  # midpoint's 6 are not above
        (7, 0, [("euler", "4"), ("midpoint", "3")]),
        (17, 8, [("dopri5", "0.1")]),
        (0.5, 0, []),
    ],
)
def test_a_sampler_stands_at_its_most_evaluations_within(
    budget: float, above: float, expected: list[tuple[str, str]]
) -> None:
    fixed = [("euler", f"{n:g}", [n, n], [1.0, 1.0]) for n in (1.0, 4.0, 8.0)]
    made = rows(*fixed, ("midpoint", "3", [6.0, 6.0], [1.0, 1.0]), ("dopri5", "0.1", [16.0, 18.0], [1.0, 1.0]))
    assert names(most_within(made, budget, above)) == expected


def test_every_method_stands_at_its_own_and_one_of_two_accuracies_with_as_many_evaluations_does() -> None:
    made = rows(("dopri5", "0.1", [14.0], [3.0]), ("dopri5", "0.01", [14.0], [2.0]))
    others = rows(("dopri5", "0.01", [12.0], [1.0]), variant="b")
    found = most_within(DataFrame([*made.to_dict("records"), *others.to_dict("records")]), 20)
    assert found[["variant", "accuracy", "nfe"]].values.tolist() == [["a", "0.1", 14.0], ["b", "0.01", 12.0]]
