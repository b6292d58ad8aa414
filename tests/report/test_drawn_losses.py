"""What could not be had is drawn: crosses in figures, struck panels, and a sentence that says whose they are."""

import math
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from bench.records.frame import read_frame
from bench.records.seal import read_arrays, read_json, write_arrays, write_json
from bench.report import style
from bench.report.artefacts import Artefacts, Exhibit
from bench.report.canvas import themed
from bench.report.figure import Drawing, draw
from bench.report.plots.plane import density_flow
from bench.report.sections import sections

pytestmark = pytest.mark.slow
WHY = "diverged at 4 evaluations: the solution is not finite"
LABEL = "FM w/ OT"


def lose(root: Path, stage: str, which: Any) -> None:
    """Take values from the records of the first method: those rows for which `which` holds."""
    for path in root.glob(f"runs/checkerboard-fm_ot-*/{stage}.json"):
        record = read_json(path)
        for row in record["measurements"]:
            if which(row):
                row |= {"value": math.nan, "reason": WHY}
        write_json(path, record)


def arrays(root: Path, stage: str, change: Any) -> None:
    for path in root.glob(f"runs/checkerboard-fm_ot-*/{stage}.npz"):
        kept = change(read_arrays(path))
        path.unlink()
        if kept:
            write_arrays(path, kept)


@pytest.fixture(scope="module")
def drawn(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    lossy = tmp_path_factory.mktemp("lossy") / "quick"
    shutil.copytree(root, lossy)
    lose(
        lossy,
        "sweep",
        lambda row: row["place"]["nfe"] == 4 and row["settings"]["solver"] in ("euler", "midpoint"),
    )
    lose(lossy, "train", lambda row: row["metric"] == "w2" and row["place"].get("step") == 46)
    lose(lossy, "likelihood", lambda row: row["metric"] == "nll_nats")
    lose(lossy, "samples", lambda row: True)
    arrays(lossy, "samples", lambda kept: None)
    arrays(lossy, "sweep", lambda kept: {name: kept[name] for name in kept if name != "samples_midpoint_4"})
    arrays(lossy, "likelihood", lambda kept: kept | {"log_densities": np.full_like(kept["log_densities"], np.nan)})
    parts = [part for part in sections(read_frame(lossy)) if part.dataset == "checkerboard"]
    complaints: list[str] = []
    with themed(), warnings.catch_warnings(action="error"):
        made = list(draw(parts[0], Artefacts(lossy), complaints))
    assert complaints == []
    return {drawing.name.removeprefix("checkerboard_"): drawing for drawing in made}


def crosses(axes: Axes) -> list[tuple[float, float]]:
    """Where crosses are, in pixels of their axes' own scale for x, and as shares of their height for y."""
    found = []
    for line in axes.lines:
        if line.get_marker() == "x" and line.get_transform() != axes.transData:
            found += [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]
    return found


@pytest.mark.parametrize("name", ["w2_over_nfe", "ode_error_over_nfe"])
def test_a_solver_that_diverged_has_a_cross_at_its_evaluations(drawn: dict[str, Drawing], name: str) -> None:
    drawing = drawn[name]
    found = {axes.get_title(loc="left"): crosses(axes) for axes in drawing.figure.axes}
    assert found["euler"] == found["midpoint"] == [(4.0, 1.0)] and found["rk4"] == []
    assert f"values that could not be had, {LABEL} (6 diverged)" in drawing.reading
    low, high = drawing.figure.axes[0].get_xlim()
    assert low < 4 < high


def test_a_validation_that_diverged_has_a_cross_at_its_cost(drawn: dict[str, Drawing]) -> None:
    evaluations, seconds, samples = drawn["w2_over_training"].figure.axes
    assert crosses(samples) == [(46 * 256 / 1000, 1.0)]
    assert len(crosses(seconds)) == len(crosses(evaluations)) == 1
    assert crosses(drawn["nll_nats_over_training"].figure.axes[0]) == []


def test_a_method_without_quality_has_a_cross_at_its_cost(drawn: dict[str, Drawing]) -> None:
    training, sampling = drawn["cost_quality"].figure.axes
    assert crosses(training) == [(pytest.approx(15.0), 1.0)]
    assert len(crosses(sampling)) == 1  # its seconds are lost too: at the end of the axis
    assert f"{LABEL} (2 diverged)" in drawn["cost_quality"].reading


def test_samples_and_densities_that_are_not_there_are_struck_or_said(drawn: dict[str, Drawing]) -> None:
    assert f"Not drawn: {LABEL} (diverged)." in drawn["trajectories"].reading
    assert "A cross stands where samples could not be had." in drawn["low_nfe"].reading
    struck = [line for axes in drawn["low_nfe"].figure.axes for line in axes.lines if line.get_marker() == "x"]
    assert len(struck) == 2  # NFE 4 and adaptive
    for name in ("densities", "density_flow"):
        assert "A cross stands where a density could not be had." in drawn[name].reading
        assert any(line.get_marker() == "x" for axes in drawn[name].figure.axes for line in axes.lines)


def test_settings_without_seconds_are_counted(drawn: dict[str, Drawing]) -> None:
    assert f"no place: {LABEL} (2)." in drawn["w2_over_seconds"].reading
    assert f"some of {LABEL}" in drawn["time_to_target"].reading


def test_a_density_at_the_end_alone_has_no_row_on_the_way() -> None:
    look = style.Look("C0", "o")
    kept = {3: np.linspace(0.2, 1, 3), 1: np.array([1.0])}
    own, flow = (
        Exhibit("v", name, look, 0, {"density_times": times, "log_densities": np.zeros((len(times), 4, 4))})
        for name, times in (("own", kept[1]), ("flow", kept[3]))
    )
    section: Any = SimpleNamespace(labels={})
    drawn = density_flow(SimpleNamespace(exhibits=[own, flow], section=section))  # type: ignore[arg-type]
    assert drawn and sum(len(axes.images) for axes in drawn.figure.axes) == 3
    assert density_flow(SimpleNamespace(exhibits=[own], section=section)) is None  # type: ignore[arg-type]
