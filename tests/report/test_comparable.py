"""One rule says under which settings numbers are compared, and what it drops is said."""

import json

import pandas
import pytest
import synthetic

from bench.report.cells import headline
from bench.report.comparable import left_out, of_one_kind, settled
from bench.report.sections import sections

NLL = {"stage": "likelihood", "metric": "nll_nats"}


def chosen(*rows: tuple[str, dict[str, object]]) -> dict[str, object]:
    keys = pandas.Series([json.dumps(settings) for _, settings in rows])
    return json.loads(settled(keys, pandas.Series([variant for variant, _ in rows])) or "{}")


FIXED, ADAPTIVE = {"steps": 50}, {"rtol": 1e-5}


@pytest.mark.parametrize(
    ("rows", "key"),
    [
        ([("a", FIXED), ("b", FIXED), ("a", ADAPTIVE)], FIXED),  # what most variants share
        ([("a", FIXED), ("a", FIXED), ("a", FIXED), ("b", ADAPTIVE), ("c", ADAPTIVE)], ADAPTIVE),  # variants, not rows
        ([("a", FIXED), ("a", ADAPTIVE)], ADAPTIVE),
        ([("a", {"draws": 1}), ("a", {"draws": 20})], {"draws": 20}),
        ([("a", {"n": 1}), ("a", {"n": 2}), ("a", {"n": 2})], {"n": 2}),
        ([], {}),
    ],
)
def test_settings_that_most_variants_share_are_compared_under(
    rows: list[tuple[str, dict[str, object]]], key: dict[str, object]
) -> None:
    assert chosen(*rows) == key


def test_a_curve_joins_numbers_of_one_kind_and_what_it_drops_is_said() -> None:
    def validation(variant: str, step: int, n: int) -> dict[str, object]:
        place = {"step": step, "train_seconds": float(step), "nfe_training": 1.0}
        return {"stage": "train", "metric": "w2", "variant": variant, "place": place, "n": n}

    rows = [validation(v, step, 1000) for v in ("a", "b") for step in (1, 2)] + [validation("b", 3, 999)]
    final = [{**NLL, "variant": v, "label": v.upper(), "settings": s} for v, s in (("a", ADAPTIVE), ("b", ADAPTIVE))]
    final += [{**NLL, "variant": "c", "label": "C", "settings": FIXED}]
    (section,) = sections(synthetic.frame(*rows, *final))
    assert set(of_one_kind(section.curve).step) == {1, 2}
    assert left_out(section, headline([section])) == [
        "cifar10: C has no NLL under the settings that most variants share: left out of figures and verdicts",
        "cifar10: 1 values of W₂ in the course of training are of other settings than most: "
        "left out of figures and verdicts",
    ]


def test_what_most_share_has_no_complaint() -> None:
    rows = [{**NLL, "variant": v, "settings": s} for v in ("a", "b") for s in (FIXED, ADAPTIVE)]
    (section,) = sections(synthetic.frame(*rows))
    assert left_out(section, headline([section])) == []
