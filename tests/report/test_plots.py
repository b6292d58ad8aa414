import shutil
from pathlib import Path

import pandas
import pytest
from matplotlib import rc_context

from bench import records
from bench.report import style
from bench.report.artefacts import Artefacts
from bench.report.cells import headline
from bench.report.plots import FIGURES, draw
from bench.report.plots.canvas import Drawing
from bench.report.plots.cost import _facet
from bench.report.sections import sections

POINTS = ["cost_quality", "nll_nats_over_training", "w2_over_nfe", "densities", "trajectories", "snapshots", "low_nfe"]
IMAGES = ["cost_quality", "nll_bpd_over_training", "fd_digits_over_nfe", "samples", "low_nfe"]


def drawings(root: Path, frame: pandas.DataFrame, artefacts: Artefacts) -> tuple[list[Drawing], list[str]]:
    complaints: list[str] = []
    cells = headline(frame)
    with rc_context(style.theme()):
        made = [d for section in sections(frame) for d in draw(section, cells, artefacts, complaints)]
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
        assert drawing.statement in texts
        assert any("suite quick · protocol small" in text for text in texts)
        assert drawing.reading.endswith(".")


def test_panels_carry_the_baselines_names(drawn: dict[str, Drawing]) -> None:
    titles = [axes.get_title("left") for axes in drawn["checkerboard_densities"].figure.axes]
    assert titles[:3] == ["Held-out data", "FM w/ OT", "OT-CFM"]


def test_statements_come_from_the_numbers(drawn: dict[str, Drawing]) -> None:
    said = {name: drawing.statement for name, drawing in drawn.items()}
    assert said["checkerboard_trajectories"] == "FM w/ OT carries noise to data with the least path energy, 9.10"
    assert said["checkerboard_densities"].endswith("NLL 3.70 nats, 0.23 above the floor")
    assert said["checkerboard_cost_quality"] == "No baseline beats FM w/ OT in training time or in NLL"


def test_pareto_front(frame: pandas.DataFrame) -> None:
    section = sections(frame)[1]
    facet = _facet(section, headline(frame), "sampling_seconds", "fd_digits")
    assert facet is not None
    assert [point.label for point in facet.front] == ["FM w/ OT"]
    assert {point.label for point in facet.points if point.native} == {"DDPM ancestral-1000", "DDPM ddim-50"}


def test_without_data_there_is_no_figure(tmp_path: Path, frame: pandas.DataFrame) -> None:
    """No arrays and no more than the training's scalars: nothing is drawn, nothing is complained of."""
    train = frame[(frame.stage == "train") & ~frame.settings.str.contains("curve")]
    assert drawings(tmp_path, train, Artefacts(tmp_path)) == ([], [])


@pytest.mark.parametrize("damage", [b"", b"not a zip file", None])
def test_a_corrupt_file_costs_its_panel_and_is_named(root: Path, tmp_path: Path, damage: bytes | None) -> None:
    copy = tmp_path / "quick"
    shutil.copytree(root / "runs", copy / "runs", ignore=lambda _, names: [n for n in names if n == "sweep.npz"])
    for seed in range(3):
        path = copy / "runs" / f"checkerboard-fm_ot-3f2a9c-s{seed}" / "likelihood.npz"
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    artefacts = Artefacts(copy)
    frame = records.frame(copy)
    section = next(s for s in sections(frame) if s.dataset == "checkerboard")
    figure = next(f for f in FIGURES if f.__name__ == "densities")(section, headline(frame), artefacts)
    assert isinstance(figure, Drawing)
    titles = [axes.get_title("left") for axes in figure.figure.axes]
    assert "FM w/ OT" not in titles and "OT-CFM" in titles
    assert sorted(artefacts.unreadable) == [
        f"runs/checkerboard-fm_ot-3f2a9c-s{seed}/likelihood.npz" for seed in range(3)
    ]


def test_a_smoke_run_never_reads_like_a_result(root: Path, frame: pandas.DataFrame) -> None:
    made, _ = drawings(root, frame.assign(protocol="smoke"), Artefacts(root))
    assert made and all(drawing.statement.startswith("Smoke run, no result: ") for drawing in made)
    assert all(drawing.statement in {text.get_text() for text in drawing.figure.texts} for drawing in made)
