import math
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import synthetic
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.errors import UsageError
from bench.records.frame import read_frame
from bench.report.artefacts import Artefacts
from bench.report.axes import front, limit, means, name_point
from bench.report.canvas import entitle, matrix, themed
from bench.report.cells import t_interval
from bench.report.course import course
from bench.report.figure import Drawing, FigureData, draw, register_figure
from bench.report.plots import cost_quality, time_to_target
from bench.report.plots.plane import thinned
from bench.report.sections import sections

pytestmark = pytest.mark.slow

POINTS = [
    "cost_quality", "time_to_target", "nll_nats_over_training", "w2_over_training",
    "nfe_sampling_over_training", "w2_over_nfe", "w2_over_seconds", "ode_error_over_nfe", "densities", "density_flow",
    "conditional", "trajectories", "low_nfe",
]  # fmt: skip
IMAGES = [
    "cost_quality", "time_to_target", "nll_bpd_over_training", "fd_digits_over_nfe",
    "samples", "snapshots", "low_nfe",
]  # fmt: skip


def drawings(
    root: Path, frame: pandas.DataFrame, artefacts: Artefacts, only: str = ""
) -> tuple[list[Drawing], list[str]]:
    complaints: list[str] = []
    with themed():
        made = [d for section in sections(frame) for d in draw(section, artefacts, complaints, only)]
    return made, complaints


@pytest.fixture(scope="module")
def drawn(root: Path, frame: pandas.DataFrame) -> dict[str, Drawing]:
    made, complaints = drawings(root, frame, Artefacts(root))
    assert complaints == []
    return {drawing.name: drawing for drawing in made}


def test_every_figure_draws_where_its_data_exists(drawn: dict[str, Drawing]) -> None:
    assert list(drawn) == [f"checkerboard_{what}" for what in POINTS] + [f"digits_{what}" for what in IMAGES]


def test_every_figure_states_its_protocol(drawn: dict[str, Drawing]) -> None:
    for drawing in drawn.values():
        texts = [text.get_text() for text in drawing.figure.texts]
        assert drawing.title in texts
        assert any("suite quick · protocol small" in text for text in texts)
        assert drawing.reading.endswith(".")


def test_no_text_is_taken_for_mathematics(drawn: dict[str, Drawing]) -> None:
    with themed():
        for drawing in drawn.values():
            drawing.figure.canvas.draw()
            assert not [text for text in drawing.figure.findobj(Text) if "$" in text.get_text()]
        figure = Figure()
        figure.text(0, 0, "costs $5 or $x^$")
        figure.canvas.draw()


def test_panels_carry_the_baselines_names(drawn: dict[str, Drawing]) -> None:
    titles = [axes.get_title("left") for axes in drawn["checkerboard_densities"].figure.axes]
    assert titles[:3] == ["Held-out data", "FM w/ OT", "OT-CFM"]


def test_titles_say_what_is_drawn_and_crown_nobody(drawn: dict[str, Drawing]) -> None:
    said = {name: drawing.title for name, drawing in drawn.items()}
    assert said["checkerboard_trajectories"] == "The way of samples from noise to data"
    assert said["checkerboard_cost_quality"] == "NLL against training time; W₂ against sampling time"
    assert said["checkerboard_w2_over_training"] == "W₂ against evaluations, seconds and samples of training"
    assert not [title for title in said.values() for label in synthetic.LABELS.values() if label in title]


def test_evaluations_for_one_error_are_counted_in_those_of_the_first(drawn: dict[str, Drawing]) -> None:
    """The synthetic error of method k is that of the first with 1 + k / 10 times the evaluations."""
    legend = drawn["checkerboard_ode_error_over_nfe"].figure.axes[-1].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == "FM w/ OT  1.00 · 1.00 · 1.00" and names[1].startswith("OT-CFM  1.10")


def names_of(drawing: Drawing) -> list[str]:
    """What stands above and beside the panels of a matrix."""
    axes = drawing.figure.axes
    return [one.get_title("center") for one in axes] + [text.get_text() for one in axes for text in one.texts]


def test_methods_of_one_conditional_path_share_a_row(drawn: dict[str, Drawing]) -> None:
    names = names_of(drawn["checkerboard_conditional"])
    assert {"FM w/ OT", "FM w/ Diffusion,\nScore Matching,\nScoreFlow\nand DDPM"} <= set(names)


def test_points_are_shown_at_few_evaluations_and_images_at_all_that_were_kept(drawn: dict[str, Drawing]) -> None:
    def moments(name: str) -> list[str]:
        return [text for text in names_of(drawn[name]) if text.startswith(("NFE", "adaptive"))]

    assert moments("checkerboard_low_nfe") == ["NFE 4", "NFE 8", "NFE 20", "adaptive"]
    images = ["NFE 4", "NFE 8", "NFE 20", "NFE 40", "NFE 60", "NFE 100", "adaptive"]
    assert moments("digits_low_nfe") == images


def test_intervals_of_curves_are_those_of_the_table() -> None:
    values = [1.0, 2.0, 4.0]
    rows = pandas.DataFrame({"variant": ["a"] * 3 + ["b"] * 2, "place": 1, "value": [*values, 5.0, 7.0], "step": 10.0})
    a, b = means(rows, ["place"], ["step"]).itertuples()
    mean, half_width, _ = t_interval(values)
    assert (a.value, a.low, a.high) == pytest.approx((mean, mean - half_width, mean + half_width))
    assert b.value == 6.0 and math.isnan(b.low)  # the interval of two seeds would hide all else


def test_seeds_are_joined_at_their_step(frame: pandas.DataFrame) -> None:
    """A seed whose first validation diverged shifts no other point."""
    section = next(s for s in sections(frame) if s.dataset == "checkerboard")
    full = course(section, "w2")
    first = section.frame.step == 46
    kept = section.frame[~(first.astype(bool) & (section.frame.seed == 0))]
    short = course(replace(section, frame=kept), "w2")
    assert list(short.step) == list(full.step)
    assert list(short.seeds[short.step == 46]) == [n - 1 for n in full.seeds[full.step == 46]]


def test_costs_of_training_are_counted_in_rows(frame: pandas.DataFrame, root: Path) -> None:
    def labels(rows: pandas.DataFrame) -> list[str]:
        made, _ = drawings(root, rows, Artefacts(root), "over_training")
        return [axes.get_xlabel() for axes in next(d for d in made if d.name.endswith("w2_over_training")).figure.axes]

    toys = frame[frame.dataset == "checkerboard"]
    assert labels(toys) == ["Evaluations in training [1,000 rows]", "Training time [s]", "Samples seen [thousands]"]
    smaller = toys.assign(global_batch=toys.global_batch.where(toys.baseline != "fm_ot", 64))
    (section,) = sections(smaller)
    full, less = (course(section, "w2").query("variant.str.contains(@name)") for name in ("-ddpm-", "-fm_ot-"))
    assert list(less.samples / less.step) == [64.0] * len(less) and list(full.samples / full.step) == [256.0] * len(
        full
    )
    rows = section.curve
    assert set(rows.evaluations / rows.nfe_training) == {64.0, 256.0}


def test_the_target_is_what_three_quarters_reach() -> None:
    best = {"a": 1.0, "b": 2.0, "c": 3.0014, "d": 9.0}  # three of four reach 3.01
    rows = pandas.DataFrame(
        [{"variant": v, "run_id": f"{v}{k}", "value": x - k / 10} for v, x in best.items() for k in (0, 1)]
    )
    assert time_to_target.target(rows) == 3.01
    assert time_to_target.target(rows.assign(value=-rows.value)) == -1.9  # where more is better


def test_methods_of_many_evaluations_per_step_stand_apart_whatever_they_are_for(drawn: dict[str, Drawing]) -> None:
    """What solves an ODE in every step counts more than three evaluations, and so does a GAN: the heading says that."""
    drawing = drawn["checkerboard_time_to_target"]
    axes = drawing.figure.axes[0]
    names = [text.get_text() for text in axes.texts if text.get_position()[0] < 0.5]
    at = names.index("more than 3 evaluations of the network per training step")
    assert names[0] == "up to 3 evaluations of the network per training step" and names[1] == "FM w/ OT"
    assert set(names[at + 1 :]) == {"FFJORD", "RNODE"}


def test_front_of_quality_and_seconds() -> None:
    rows = pandas.DataFrame({"seconds": [3.0, 1.0, 2.0, 2.0, 4.0], "value": [1.0, 5.0, 3.0, 4.0, 2.0]})
    lower, higher = (front(rows, "seconds", sign)[["seconds", "value"]].to_numpy().tolist() for sign in (1, -1))
    assert lower == [[1.0, 5.0], [2.0, 3.0], [3.0, 1.0]] and higher == [[1.0, 5.0]]


def test_a_quality_of_which_more_is_better_is_turned(root: Path, frame: pandas.DataFrame) -> None:
    turned = frame.assign(direction=frame.direction.mask(frame.metric == "w2", "higher"))
    section = next(s for s in sections(turned) if s.dataset == "checkerboard")
    complaints: list[str] = []
    names = ("cost_quality", "time_to_target", "over_seconds")
    with themed():
        made = [d for name in names for d in draw(section, Artefacts(root), complaints, name)]
    assert complaints == [] and len(made) == 3
    costs, targets, seconds = (drawing.figure.axes for drawing in made)
    assert costs[1].get_ylabel() == "W₂, n = 2,000, higher is better"
    assert seconds[0].get_ylabel() == "W₂, n = 1,000, higher is better"
    assert targets[1].get_title(loc="left").startswith("W₂ ") and "−" not in targets[1].get_title(loc="left")
    legend = seconds[0].get_legend()
    assert legend and legend.get_texts()[0].get_text().startswith("RNODE")


def test_of_many_further_samplers_those_on_the_front_are_named() -> None:
    points = pandas.DataFrame({"cost": [9.0, 1, 2, 3, 4, 5, 6, 7], "value": [0.0, 3, 4, 2, 5, 6, 7, 8]})
    points["is_headline"] = [True] + 7 * [False]
    assert list(cost_quality.named(points, front(points, "cost", 1))) == [1, 3]
    few = points[:7]
    assert list(cost_quality.named(few, front(few, "cost", 1))) == [1, 2, 3, 4, 5, 6]


def test_one_outlier_does_not_press_the_others_flat() -> None:
    assert cost_quality.ceiling([3.0, 3.1, 3.2, 3.4, 22.0], 2.9) == pytest.approx(2.9 + 3 * 0.5)
    assert cost_quality.ceiling([3.0, 3.1, 3.2, 3.4, 4.0], 2.9) == 4.0
    assert cost_quality.ceiling([1.0, 1.0, 1.0, 1.0, 2.0], 1.0) == 2.0


def test_a_name_near_the_right_edge_stands_at_the_left_of_its_point() -> None:
    axes = Figure().subplots()
    axes.set(xscale="log", xlim=(1, 100))
    for x in (2, 90):
        name_point(axes, x, 0.5, str(x), "#333d8f")
    assert [(text.get_text(), text.get_ha()) for text in axes.texts] == [("2", "left"), ("90", "right")]


@pytest.mark.parametrize("times", [2, 21, 51, 77])
def test_thinned_paths_keep_their_ends(times: int) -> None:
    paths = np.arange(times)[:, None, None] * np.ones((1, 3, 2))
    kept = thinned(paths)
    assert len(kept) == min(times, 26) and kept[0, 0, 0] == 0 and kept[-1, 0, 0] == times - 1


def test_the_more_numerous_side_of_a_matrix_goes_across() -> None:
    _, axes = matrix([("a", None), ("b, c and d", None), ("e", None)], ["first", "second"])
    places = [[one.get_position() for one in moments] for moments in axes]
    assert [len(moments) for moments in places] == [2, 2, 2]
    assert places[0][0].x0 < places[1][0].x0 < places[2][0].x0 and places[0][0].y0 > places[0][1].y0
    assert [name[0].get_title("center") for name in axes] == ["a", "b, c and d", "e"]
    _, axes = matrix([("a", None), ("b, c and d", None)], ["first", "second", "third"])
    assert axes[1][0].texts[0].get_text() == "b,\nc\nand d" and axes[0][2].get_title("center") == "third"


def test_a_long_title_is_written_smaller() -> None:
    figure = Figure(figsize=(10.0, 3.0), dpi=100)
    entitle(figure, "Smoke run, no result: " + "m" * 90, "caption")
    assert figure.texts[0].get_fontsize() < 12.5


def test_pareto_front(frame: pandas.DataFrame) -> None:
    section = sections(frame)[1]
    seconds, distance = section.scores("sampling_seconds"), section.scores("fd_digits")
    assert seconds and distance
    points = cost_quality.points_of(section, seconds, distance)
    assert [section.labels[variant] for variant in front(points, "cost", 1).variant] == ["FM w/ OT"]
    assert set(points.sampler[~points.is_headline]) == {"ancestral-1000", "ddim-50"}


def test_without_data_there_is_no_figure(tmp_path: Path, frame: pandas.DataFrame) -> None:
    """No arrays and no more than the training's scalars: nothing is drawn, nothing is complained of."""
    train = frame[(frame.stage == "train") & frame.step.isna()]
    assert drawings(tmp_path, train, Artefacts(tmp_path)) == ([], [])


@pytest.mark.parametrize("damage", [b"", b"not a zip file", None])
def test_a_corrupt_file_costs_its_panel_and_is_named(root: Path, tmp_path: Path, damage: bytes | None) -> None:
    copy = tmp_path / "quick"
    shutil.copytree(root / "runs", copy / "runs", ignore=lambda _, names: [n for n in names if n == "sweep.npz"])
    for seed in range(3):
        path = copy / "runs" / f"checkerboard-fm_ot-3f2a9c-s{seed}" / "likelihood.npz"
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    artefacts = Artefacts(copy)
    frame = read_frame(copy)
    made = {drawing.name: drawing for drawing in drawings(copy, frame, artefacts, "densities")[0]}
    titles = [axes.get_title("left") for axes in made["checkerboard_densities"].figure.axes]
    assert "FM w/ OT" not in titles and "OT-CFM" in titles
    assert sorted(artefacts.unreadable) == [
        f"runs/checkerboard-fm_ot-3f2a9c-s{seed}/likelihood.npz" for seed in range(3)
    ]


def test_a_smoke_run_never_reads_like_a_result(root: Path, frame: pandas.DataFrame) -> None:
    made, _ = drawings(root, frame.assign(protocol="smoke"), Artefacts(root), "time_to_target")
    assert made and all(drawing.title.startswith("Smoke run, no result: ") for drawing in made)
    assert all(drawing.title in {text.get_text() for text in drawing.figure.texts} for drawing in made)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("floor", [None, 14.0])
def test_equal_values_have_an_axis_of_some_height(scale: str, floor: float | None) -> None:
    axes = Figure().subplots()
    axes.set_yscale(scale)
    axes.plot([1, 2], [14.0, 14.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert limit(axes, pandas.Series([14.0, 14.0]), floor) == ""
    low, high = axes.get_ylim()
    assert low < 14 < high


def test_a_plugin_s_figure_stands_last_and_a_broken_one_costs_itself_alone(
    root: Path, frame: pandas.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.config.registry import figures

    figures.load()
    monkeypatch.setattr(figures, "_entries", {"cost_quality": figures["cost_quality"]})

    @register_figure("ends", title="Where samples end", arrays={"trajectories": 3})
    def ends(data: FigureData) -> Figure:
        assert [exhibit.label for exhibit in data.exhibits][:2] == ["FM w/ OT", "OT-CFM"]
        return Figure(figsize=(10, 3))

    @register_figure("broken", title="Nothing", metrics=("nll_nats",))
    def broken(data: FigureData) -> Figure:
        raise ZeroDivisionError("of nothing")

    @register_figure("absent", title="What nobody keeps", metrics=("a_metric_of_nobody",))
    def absent(data: FigureData) -> Figure:
        raise AssertionError

    made, complaints = drawings(root, frame, Artefacts(root))
    assert [d.name for d in made] == ["checkerboard_cost_quality", "checkerboard_ends", "digits_cost_quality"]
    assert (made[1].title, made[1].reading) == ("Where samples end", "Where samples end.")
    assert complaints == ["figure broken of checkerboard: ZeroDivisionError: of nothing"]


def test_an_array_that_no_stage_keeps_is_named(root: Path, frame: pandas.DataFrame) -> None:
    data = FigureData(sections(frame)[0], Artefacts(root))
    with pytest.raises(UsageError, match="no stage keeps an array 'smaples'; known: samples, data"):
        data.kept({"smaples": 2})


def test_samples_made_elsewhere_are_not_of_the_same_noise(root: Path, frame: pandas.DataFrame) -> None:
    theirs = (frame.dataset == "digits") & (frame.baseline == "ddpm")
    frame = frame.assign(network=frame.network.mask(theirs, "made elsewhere"))
    frame["settings"] = frame.settings.mask(theirs & (frame.stage == "samples"), '{"sampler": "made elsewhere"}')
    (drawing,) = drawings(root, frame[frame.dataset == "digits"], Artefacts(root), "samples")[0]
    assert "can be compared. Not those of DDPM, which were made elsewhere." in drawing.reading
