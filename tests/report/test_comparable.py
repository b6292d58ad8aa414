"""One rule says under which settings numbers are compared, and what it drops is said."""

import json
import math
from typing import Any

import pandas
import pytest
import synthetic

from bench.report.cells import measured
from bench.report.comparable import asked_once, of_one_kind, settled
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
    assert section.left_out == [
        "cifar10: C has no NLL under the settings that most variants share: left out of figures and verdicts",
        "cifar10: 1 values of W₂ in the course of training are of other settings than most: "
        "left out of figures and verdicts",
    ]


def test_lost_values_of_an_own_density_are_counted_once_and_what_is_dropped_is_said() -> None:
    """Two variants by the exact divergence, one by Hutchinson's, and a flow whose density is its own and lost."""

    def validation(variant: str, value: float, settings: dict[str, object]) -> list[dict[str, object]]:
        lost = {"reason": "diverged"} if math.isnan(value) else {}
        rows = [{**NLL, "stage": "train", "variant": variant, "value": value, "settings": settings, **lost}] * 3
        place = {"train_seconds": 1.0, "nfe_training": 1.0}
        return [{**row, "place": {"step": step, **place}} for step, row in enumerate(rows)]

    exact = {**synthetic.LIKELIHOOD, "divergence": "exact"}
    rows = [*validation("a", 3.0, exact), *validation("b", 3.0, exact)]
    rows += validation("c", 3.0, {**exact, "divergence": "hutchinson"})
    own = {key: exact[key] for key in exact if key not in {"solver", "rtol", "atol", "divergence"}}
    rows += validation("flow", math.nan, {**own, "density": "own"})
    (section,) = sections(synthetic.frame(*rows))
    assert of_one_kind(section.curve).variant.tolist() == ["a"] * 3 + ["b"] * 3 + ["flow"] * 3
    assert section.left_out == [
        "cifar10: 3 values of NLL in the course of training are of other settings than most: "
        "left out of figures and verdicts"
    ]


def test_what_most_share_has_no_complaint() -> None:
    rows = [{**NLL, "variant": v, "settings": s} for v in ("a", "b") for s in (FIXED, ADAPTIVE)]
    (section,) = sections(synthetic.frame(*rows))
    assert section.left_out == []


def quality(*rows: dict[str, Any]) -> str | None:
    return sections(synthetic.frame(*rows))[0].metric("quality")


def test_quality_is_the_first_metric_of_the_samples_that_has_a_direction() -> None:
    facts = {"title": "Energy", "unit": "", "group": "quality"}
    own = [{"metric": "energy", **facts, "direction": "lower"}, {"metric": "w2"}]
    assert quality({"metric": "count", **facts, "direction": ""}, *own) == "energy"
    assert quality({"metric": "path_energy"}, {"metric": "kid"}) == "kid"
    none = {"value": math.nan, "reason": "not applicable: points"}
    assert quality({"metric": "kid", **none}, *own) == "energy"
    assert quality({"metric": "w2", "stage": "sweep"}, {"metric": "recall"}) == "recall"
    assert quality({"metric": "w2", "stage": "sweep"}) == "w2"
    assert quality({"metric": "nfe_sampling"}) is None


def test_quality_of_a_sweep_is_that_of_the_samples_or_else_its_own_first() -> None:
    samples = [{"metric": "recall"}, {"metric": "fid"}]
    (section,) = sections(synthetic.frame(*samples, {"metric": "fid", "stage": "sweep"}))
    assert (section.metric("quality"), section.metric("quality", "sweep")) == ("recall", "fid")
    (section,) = sections(synthetic.frame(*samples, *({**row, "stage": "sweep"} for row in samples[::-1])))
    assert section.metric("quality", "sweep") == "recall"
    assert section.metric("quality", "train") == "recall"


def test_quality_is_that_of_most_variants() -> None:
    rows = [{"metric": metric, "variant": f"v{i}"} for i, metric in enumerate(("kid", "fid", "fid"))]
    assert quality(*rows) == "fid"


PSNR = {"metric": "psnr", "value": math.nan}


@pytest.mark.parametrize(
    ("row", "is_given"),
    [
        ({"metric": "fid", "given": True}, True),
        ({"metric": "psnr", "given": False}, False),
        ({"metric": "w2", "given": True}, False),  # of points
        ({"metric": "psnr"}, True),  # a record that does not say it
        ({**PSNR, "reason": "diverged"}, True),
        ({**PSNR, "reason": "not applicable: the samples are given nothing"}, False),
        ({"metric": "fid"}, False),
    ],
)
def test_super_resolution_is_told_by_what_samples_are_given(row: dict[str, Any], is_given: bool) -> None:
    assert sections(synthetic.frame(row))[0].is_super_resolution == is_given


def test_a_section_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(section: Any) -> pandas.DataFrame:
        calls.append(section.name)
        return measured(section)

    monkeypatch.setattr("bench.report.cells.measured", counted)
    (section,) = sections(synthetic.frame({"settings": ADAPTIVE}))
    assert section.scores("fid") and len(section.compared("fid")) == 1 and not section.left_out
    assert calls == ["cifar10"]


def test_what_depends_on_a_few_columns_is_asked_once_of_rows_alike_in_them() -> None:
    rows = pandas.DataFrame({"settings": ["a", "b", "a", "a"], "n": [1.0, math.nan, 2.0, 1.0], "value": [1, 2, 3, 4]})
    asked: list[int] = []

    def answer(row: Any) -> str:
        asked.append(row.value)
        return f"{row.settings}{row.n:g}"

    assert asked_once(rows, ["settings", "n"], answer) == ["a1", "bnan", "a2", "a1"]
    assert asked == [1, 2, 3]
