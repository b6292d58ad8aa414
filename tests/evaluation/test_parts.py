"""A stage is measured part by part: what cannot be had leaves its reason in its place, and the rest is measured."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import NOT_APPLICABLE, Diverged, NotApplicable, UsageError
from bench.evaluation import unfinished
from bench.evaluation.lost import Lost, reason
from bench.evaluation.parts import Arrays, Parts, Rows, attempt, without
from bench.evaluation.unfinished import Unfinished
from bench.methods.finite import NotFinite
from bench.records.records import Measurement

Make = Callable[[Unfinished], tuple[Rows, Arrays]]


def silent(text: str) -> None:
    pass


BLANK = [Measurement("w2", n=5, settings={"nfe": 4})]


def gives(value: float) -> Make:
    return lambda _: ([Measurement("w2", value, n=5, settings={"nfe": 4})], {"x": np.array([value])})


def fails(error: BaseException) -> Make:
    def make(_: Unfinished) -> tuple[Rows, Arrays]:
        raise error

    return make


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Diverged("euler: the solution is not finite"), "diverged at 4 evaluations: euler: the solution is not finite"),
        (NotFinite("3 of 300 samples are not finite"), "3 of 300 samples are not finite"),
        (torch.OutOfMemoryError("CUDA\n out of it"), "out of memory at 4 evaluations: CUDA out of it"),
        (MemoryError(), "out of memory at 4 evaluations"),
        (ValueError("odd"), "ValueError at 4 evaluations: odd"),
        (Lost("diverged", "rk4: underflow"), "diverged at 4 evaluations: rk4: underflow"),
    ],
)
def test_a_part_that_fails_leaves_its_measurements_with_the_reason(error: Exception, said: str) -> None:
    parts = Parts(silent)
    parts.measure("one", BLANK, fails(error), "at 4 evaluations")
    parts.measure("two", BLANK, gives(2.0))
    parts.check()
    lost, had = parts.rows
    assert (lost.metric, lost.n, lost.settings, lost.reason) == ("w2", 5, {"nfe": 4}, said)
    assert math.isnan(lost.value) and (had.value, had.reason) == (2.0, None)
    assert list(parts.arrays) == ["x"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UsageError("n = 3"), KeyboardInterrupt()])
def test_what_the_next_part_would_meet_too_ends_the_stage(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Parts(silent).measure("one", BLANK, fails(error))
    with pytest.raises(type(error)):
        attempt(BLANK, lambda: fails(error)(Unfinished())[0])


def test_a_stage_of_which_nothing_runs_fails_and_one_that_diverges_does_not() -> None:
    wrong, rough = Parts(silent), Parts(silent)
    for _ in range(2):
        wrong.measure("part", BLANK, fails(KeyError("velocity")))
        rough.measure("part", BLANK, fails(Diverged("dopri5")))
    rough.check()
    with pytest.raises(KeyError, match="velocity"):
        wrong.check()


def test_a_part_that_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    never: Any = fails(AssertionError("measured again"))
    first = Parts(silent, Unfinished(tmp_path))
    first.measure("likelihood {'solver': 'dopri5'}", BLANK, gives(1 / 3))
    first.measure("lost", BLANK, fails(Diverged("euler")))
    again = Parts(silent, Unfinished(tmp_path))
    again.measure("likelihood {'solver': 'dopri5'}", BLANK, never)
    again.measure("lost", BLANK, gives(7.0))
    assert again.rows[0] == first.rows[0] and again.rows[0].value == 1 / 3
    assert again.arrays["x"] == [7.0] and again.rows[1].value == 7.0 and again.rows[1].reason is None


def test_a_part_of_which_one_measurement_is_lost_is_tried_again(tmp_path: Path) -> None:
    def half(_: Unfinished) -> tuple[Rows, Arrays]:
        return [*gives(1.0)(_)[0], *without(BLANK, "LinAlgError: singular")], {}

    Parts(silent, Unfinished(tmp_path)).measure("one", BLANK, half)
    again = Parts(silent, Unfinished(tmp_path))
    again.measure("one", BLANK, gives(3.0))
    assert [row.value for row in again.rows] == [3.0]


def test_the_batches_of_a_part_go_when_it_is_kept_and_stay_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "WORTH", 0)

    def make(name: str, error: Exception | None) -> Make:
        def batches(parts: Unfinished) -> tuple[Rows, Arrays]:
            for i in range(3):
                parts.once(f"{name}-{i}", lambda: {"x": np.zeros(2)})
            if error:
                raise error
            return gives(1.0)(parts)

        return batches

    parts = Parts(silent, Unfinished(tmp_path))
    parts.measure("one", BLANK, make("one", None))
    parts.measure("two", BLANK, make("two", Diverged("euler")))
    assert {p.name for p in tmp_path.iterdir()} == {"one.part.npz", *(f"two-{i}.npz" for i in range(3))}


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_part_is_set_aside_said_and_measured_again(tmp_path: Path, damage: str) -> None:
    Parts(silent, Unfinished(tmp_path)).measure("one", BLANK, gives(1.0))
    path = tmp_path / "one.part.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": bytes(data[:100]), "bit": bytes(data), "empty": b""}[damage])
    said: list[str] = []
    again = Parts(said.append, Unfinished(tmp_path, said.append))
    again.measure("one", BLANK, gives(2.0))
    assert again.rows[0].value == 2.0 and (tmp_path / "one.part.corrupt").exists()
    assert any("one.part.npz cannot be used" in text for text in said)


def test_a_reason_is_one_line_of_bounded_length() -> None:
    said = reason(ValueError("a\nb" * 999))
    assert "\n" not in said and len(said) < 250 and json.dumps(said)


@pytest.mark.parametrize("error", [NotApplicable("a GAN has no density"), Lost(NOT_APPLICABLE, "a GAN has no density")])
def test_what_a_model_cannot_have_is_said_is_kept_and_is_no_failure(tmp_path: Path, error: Exception) -> None:
    parts = Parts(silent)
    parts.measure("one", BLANK, fails(error), "at 4 evaluations")
    parts.check()
    assert [row.reason for row in parts.rows] == ["not applicable: a GAN has no density"]
    parts.measure("two", BLANK, fails(KeyError("velocity")))
    with pytest.raises(KeyError):
        parts.check()

    def half(_: Unfinished) -> tuple[Rows, Arrays]:
        return [*gives(1.0)(_)[0], *attempt(BLANK, lambda: fails(error)(_)[0])], {}

    Parts(silent, Unfinished(tmp_path)).measure("half", BLANK, half)
    again = Parts(silent, Unfinished(tmp_path))
    again.measure("half", BLANK, fails(AssertionError("measured again")))
    assert again.rows[0].value == 1.0 and again.rows[1].reason == parts.rows[0].reason
