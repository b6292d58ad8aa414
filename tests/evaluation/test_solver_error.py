"""The error of a solver on dx/dt = x, where a step of Euler's multiplies by 1 + h and one of midpoint's by 1 + h + h^2
/ 2."""

from pathlib import Path

import pytest
import torch
from oracles import Given, trained

from bench.evaluation.solver_error import REFERENCE, SolverError
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.samplers.ode import Euler, Midpoint

H = 2 / REFERENCE
EXACT = (1 + H + H**2 / 2) ** (REFERENCE // 2)


def growing() -> Trained:
    return trained(Given(lambda t, x: x), (2,), 0)


@pytest.mark.parametrize("steps", [1, 4, 16])
@pytest.mark.parametrize("batch", [64, 20])
def test_eulers_error_is_its_closed_form_whatever_the_batch(steps: int, batch: int) -> None:
    this = growing()
    error = SolverError(this, 64, batch, Unfinished())
    found, (value, stderr) = error.row({"sampler": "euler"}), error.measured(Euler(steps=steps))
    squares = this.noise(0, 64).double().square().mean(1) * ((1 + 1 / steps) ** steps - EXACT) ** 2
    assert found.metric == "ode_error" and found.n == 64
    assert value == pytest.approx(float(squares.mean()), rel=1e-3)
    assert stderr == pytest.approx(float(squares.std()) / 8, rel=1e-3)
    assert found.settings == {"sampler": "euler", "batch": min(batch, 64), "reference": "midpoint, NFE 1000"}


def test_the_reference_has_no_error_and_is_kept_for_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.evaluation.unfinished.WORTH", 0.0)
    midpoint = Midpoint(steps=REFERENCE // 2)
    first = SolverError(growing(), 8, 4, Unfinished(tmp_path))
    assert first.measured(midpoint)[0] == 0.0
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(Trained, "draw", lambda *_: pytest.fail("solved again"))
    again = SolverError(growing(), 8, 4, Unfinished(tmp_path))
    assert {start: x.tolist() for start, x in again.reference().items()} == {
        start: x.tolist() for start, x in first.reference().items()
    }


def test_every_scale_of_guidance_has_a_reference_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scales that share six digits too; what was drawn is the scale here."""
    monkeypatch.setattr("bench.evaluation.unfinished.WORTH", 0.0)
    monkeypatch.setattr(Trained, "draw", lambda self, sampler, *_: (torch.tensor([sampler.guidance]),))
    error = SolverError(growing(), 1, 1, Unfinished(tmp_path))
    scales = (1.234561, 1.234562)
    assert [float(error.reference(scale)[0]) for scale in scales] == pytest.approx(scales, rel=1e-7)
    assert len(list(tmp_path.iterdir())) == 2


def test_one_sample_has_no_standard_error() -> None:
    assert SolverError(growing(), 1, 64, Unfinished()).measured(Euler(steps=1))[1] is None
