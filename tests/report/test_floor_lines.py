"""What as many data score in figures: of the same n alone, within the axes, with its interval."""

import math

import pandas
import pytest
import synthetic
from matplotlib.figure import Figure

from bench.report.axes import above_noise, floor_line, limit
from bench.report.sections import sections
from bench.report.sweeps import floor_of, qualities, swept

SWEPT = {"stage": "sweep", "metric": "w2", "settings": {"sampler": "euler", "steps": 4, "nfe": 4}, "n": 1000}
OF_DATA = {**SWEPT, "metric": "w2_floor", "value": 0.2, "stderr": 0.01, "settings": {"repeats": 5}}


def test_the_floor_of_a_sweep_is_that_of_as_many_samples() -> None:
    (section,) = sections(synthetic.frame(SWEPT, OF_DATA, {**OF_DATA, "value": 0.1, "n": 2000, "stage": "samples"}))
    rows = swept(section, "w2")
    found = floor_of(section, "w2", rows)
    assert found == pytest.approx((0.2, 2.776445 * 0.01 * math.sqrt(6)), rel=1e-6)
    found = floor_of(section, "w2", rows.assign(n=2000))
    assert found == pytest.approx((0.1, 2.776445 * 0.01 * math.sqrt(6)), rel=1e-6)
    assert floor_of(section, "w2", rows.assign(n=500)) is None and floor_of(section, "fid", rows) is None


def test_the_floor_of_a_curve_is_of_the_split_that_it_is_measured_on() -> None:
    of = {"split": "validation"}
    on_test, on_validation = (
        {**OF_DATA, "value": value, "settings": {"repeats": 5, "floor_split": "train", "split": split}}
        for value, split in ((0.1, "test"), (0.2, "validation"))
    )
    (section,) = sections(synthetic.frame({**SWEPT, "settings": {**SWEPT["settings"], **of}}, on_test, on_validation))
    found = floor_of(section, "w2", swept(section, "w2"))
    assert found and found[0] == 0.2


def test_a_floor_is_no_quality_of_a_sweep_and_a_lost_one_no_cross() -> None:
    lost = {**OF_DATA, "value": math.nan, "reason": "diverged", "seed": 1}
    (section,) = sections(synthetic.frame(SWEPT, OF_DATA, lost))
    assert qualities(section) == ["w2"] and set(section.sweep.metric) == {"w2"}
    assert floor_of(section, "w2", swept(section, "w2")) is not None


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("floor", [0.5, 40.0])
def test_a_floor_is_within_the_axes(scale: str, floor: float) -> None:
    axes = Figure().subplots()
    axes.set_yscale(scale)
    assert limit(axes, pandas.Series([2.0, 3.0, 4.0]), floor) == ""
    floor_line(axes, floor, 0.1, "as many data")
    low, high = axes.get_ylim()
    assert low < min(floor, 2.0) and high > max(floor, 4.0)
    (line,), (band,) = axes.lines, axes.patches
    assert list(line.get_ydata()) == [floor, floor]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((floor - 0.1, floor + 0.1))


def test_a_floor_without_an_interval_is_a_line() -> None:
    axes = Figure().subplots()
    floor_line(axes, 0.5, math.nan, "")
    assert len(axes.lines) == 1 and not axes.patches


def test_a_floor_below_zero_stretches_no_logarithmic_axis() -> None:
    axes = Figure().subplots()
    axes.set_yscale("log")
    limit(axes, pandas.Series([1.0, 2.0]), -0.1)
    assert axes.get_ylim() == pytest.approx((1 / 1.12, 2 * 1.12))


@pytest.mark.parametrize(
    ("values", "floor", "edge", "height"),
    [
        ([-1e-4, 2e-5, 0.3], (7e-6, 5e-3), 5e-4, 5e-4),  # within the noise nothing is told apart
        ([0.02, 0.3], (2e-3, 5e-3), 0.02, 2e-3),
        ([-0.1, 0.02, 0.3], (2e-3, 5e-3), 2e-3, 2e-3),
        ([-0.1, 0.02, 0.3], (2e-3, math.nan), 2e-3, 2e-3),
        ([-0.1, 0.02, 0.3], None, 0.02, None),
        ([-0.2, -0.1], (-0.15, math.nan), -0.2, -0.15),
    ],
)
def test_what_a_logarithmic_axis_cannot_show_stands_at_its_edge_with_the_floor(
    values: list[float], floor: tuple[float, float] | None, edge: float, height: float | None
) -> None:
    points = pandas.DataFrame({"value": values})
    raised, shown, words = above_noise(points, floor)
    assert raised.value.tolist() == [max(value, edge) for value in values]
    assert (shown and shown[0]) == height
    assert bool(words) == (min(values) < edge)


@pytest.mark.parametrize(("below", "sign"), [(True, -1), (False, 1)])
def test_the_words_of_a_floor_are_on_the_side_that_points_leave_free(below: bool, sign: int) -> None:
    axes = Figure().subplots()
    axes.set_ylim(0, 1)
    floor_line(axes, 0.5, math.nan, "as many data", below=below)
    axes.figure.canvas.draw()
    box = axes.texts[0].get_window_extent().transformed(axes.transData.inverted())
    assert all(sign * (y - 0.5) > 0 for y in (box.y0, box.y1))
