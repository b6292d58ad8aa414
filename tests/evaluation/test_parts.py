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
from bench.evaluation import partial
from bench.evaluation.lost import Lost, reason
from bench.evaluation.partial import Partial
from bench.evaluation.parts import Arrays, Parts, Rows, attempt
from bench.methods.finite import NotFinite
from bench.records.records import Measurement

Make = Callable[[Partial], tuple[Rows, Arrays]]


def silent(text: str) -> None:
    pass


def blank(why: str) -> Rows:
    return [Measurement("w2", math.nan, n=5, settings={"nfe": 4}, reason=why)]


def gives(value: float) -> Make:
    return lambda _: ([Measurement("w2", value, n=5, settings={"nfe": 4})], {"x": np.array([value])})


def fails(error: BaseException) -> Make:
    def make(_: Partial) -> tuple[Rows, Arrays]:
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
    parts.measure("one", fails(error), blank, "at 4 evaluations")
    parts.measure("two", gives(2.0), blank)
    parts.check()
    lost, had = parts.rows
    assert (lost.metric, lost.n, lost.settings, lost.reason) == ("w2", 5, {"nfe": 4}, said)
    assert math.isnan(lost.value) and (had.value, had.reason) == (2.0, None)
    assert list(parts.arrays) == ["x"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UsageError("n = 3"), KeyboardInterrupt()])
def test_what_the_next_part_would_meet_too_ends_the_stage(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Parts(silent).measure("one", fails(error), blank)
    with pytest.raises(type(error)):
        attempt(lambda: fails(error)(Partial())[0], blank)


def test_a_stage_of_which_nothing_runs_fails_and_one_that_diverges_does_not() -> None:
    wrong, rough = Parts(silent), Parts(silent)
    for _ in range(2):
        wrong.measure("part", fails(KeyError("velocity")), blank)
        rough.measure("part", fails(Diverged("dopri5")), blank)
    rough.check()
    with pytest.raises(KeyError, match="velocity"):
        wrong.check()


def test_a_part_that_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    never: Any = fails(AssertionError("measured again"))
    first = Parts(silent, Partial(tmp_path))
    first.measure("likelihood {'solver': 'dopri5'}", gives(1 / 3), blank)
    first.measure("lost", fails(Diverged("euler")), blank)
    again = Parts(silent, Partial(tmp_path))
    again.measure("likelihood {'solver': 'dopri5'}", never, blank)
    again.measure("lost", gives(7.0), blank)
    assert again.rows[0] == first.rows[0] and again.rows[0].value == 1 / 3
    assert again.arrays["x"] == [7.0] and again.rows[1].value == 7.0 and again.rows[1].reason is None


def test_a_part_of_which_one_measurement_is_lost_is_tried_again(tmp_path: Path) -> None:
    def half(_: Partial) -> tuple[Rows, Arrays]:
        return [*gives(1.0)(_)[0], *blank("LinAlgError: singular")], {}

    Parts(silent, Partial(tmp_path)).measure("one", half, blank)
    again = Parts(silent, Partial(tmp_path))
    again.measure("one", gives(3.0), blank)
    assert [row.value for row in again.rows] == [3.0]


def test_the_batches_of_a_part_go_when_it_is_kept_and_stay_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "WORTH", 0)

    def make(name: str, error: Exception | None) -> Make:
        def batches(parts: Partial) -> tuple[Rows, Arrays]:
            for i in range(3):
                parts.once(f"{name}-{i}", lambda: {"x": np.zeros(2)})
            if error:
                raise error
            return gives(1.0)(parts)

        return batches

    parts = Parts(silent, Partial(tmp_path))
    parts.measure("one", make("one", None), blank)
    parts.measure("two", make("two", Diverged("euler")), blank)
    assert {p.name for p in tmp_path.iterdir()} == {"one.part.npz", *(f"two-{i}.npz" for i in range(3))}


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_part_is_set_aside_said_and_measured_again(tmp_path: Path, damage: str) -> None:
    Parts(silent, Partial(tmp_path)).measure("one", gives(1.0), blank)
    path = tmp_path / "one.part.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": bytes(data[:100]), "bit": bytes(data), "empty": b""}[damage])
    said: list[str] = []
    again = Parts(said.append, Partial(tmp_path, said.append))
    again.measure("one", gives(2.0), blank)
    assert again.rows[0].value == 2.0 and (tmp_path / "one.part.corrupt").exists()
    assert any("one.part.npz cannot be used" in text for text in said)


def test_a_reason_is_one_line_of_bounded_length() -> None:
    said = reason(ValueError("a\nb" * 999))
    assert "\n" not in said and len(said) < 250 and json.dumps(said)


@pytest.mark.parametrize("error", [NotApplicable("a GAN has no density"), Lost(NOT_APPLICABLE, "a GAN has no density")])
def test_what_a_model_cannot_have_is_said_is_kept_and_is_no_failure(tmp_path: Path, error: Exception) -> None:
    parts = Parts(silent)
    parts.measure("one", fails(error), blank, "at 4 evaluations")
    parts.check()
    assert [row.reason for row in parts.rows] == ["not applicable: a GAN has no density"]
    parts.measure("two", fails(KeyError("velocity")), blank)
    with pytest.raises(KeyError):
        parts.check()

    def half(_: Partial) -> tuple[Rows, Arrays]:
        return [*gives(1.0)(_)[0], *attempt(lambda: fails(error)(_)[0], blank)], {}

    Parts(silent, Partial(tmp_path)).measure("half", half, blank)
    again = Parts(silent, Partial(tmp_path))
    again.measure("half", fails(AssertionError("measured again")), blank)
    assert again.rows[0].value == 1.0 and again.rows[1].reason == parts.rows[0].reason
