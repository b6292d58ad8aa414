import ast
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from bench.report.build import build
from bench.report.figures import figures

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2] / "bench" / "report"


def test_every_file_is_written_and_nothing_else(built: Path) -> None:
    assert {p.name for p in built.iterdir()} == {
        "runs", "plan.json", "records.csv", "equal_seconds.csv", "tuning.csv", "plots", "report.html",
        *(f"{name}.{suffix}" for name in ("table", "paper", "claims") for suffix in ("md", "tex", "csv")),
    }  # fmt: skip
    plots = sorted(p.name for p in (built / "plots").iterdir())
    assert len(plots) == 42 and not any(name.startswith(".") for name in plots)
    assert {Path(name).suffix for name in plots} == {".png", ".pdf"}


def test_figures_are_not_empty(built: Path) -> None:
    for path in (built / "plots").glob("*.png"):
        pixels = np.asarray(Image.open(path).convert("L"))
        assert pixels.shape[1] == 1500
        assert (pixels < 250).mean() > 0.01


def test_every_figure_is_explained_and_loads_late(built: Path) -> None:
    html = (built / "report.html").read_text(encoding="utf-8")
    plots = len(list((built / "plots").glob("*.png")))
    assert html.count("How to read it.") == html.count('loading="lazy" decoding="async"') == plots > 0


def test_csv_files_hold_the_numbers(built: Path) -> None:
    cells = pandas.read_csv(built / "table.csv")
    nll = cells.query("dataset == 'checkerboard' and metric == 'nll_nats' and baseline == 'fm_ot'").iloc[0]
    assert nll["mean"] == pytest.approx(3.7)
    assert nll.half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-6)
    assert nll.n == 3
    assert nll.run_ids.split() == [f"checkerboard-fm_ot-3f2a9c-s{seed}" for seed in range(3)]
    tidy = pandas.read_csv(built / "records.csv")
    assert (tidy.status == "missing").sum() == 4 + 3 + 1 + 2  # RNODE, after ScoreFlow's failure, FFJORD, digits


def test_same_records_same_bytes(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of all, and the figures of one data set."""
    monkeypatch.setattr("bench.report.build.figures", lambda root, sections: figures(root, sections[-1:]))
    again = tmp_path / built.name
    shutil.copytree(built / "runs", again / "runs", ignore=lambda _, names: [n for n in names if n.endswith(".npz")])
    shutil.copy(built / "plan.json", again)
    written = build(again)
    assert written[0] == again / "report.html"
    for name in ("table.md", "table.tex", "table.csv", "records.csv"):
        assert (again / name).read_bytes() == (built / name).read_bytes()
    plots = list((again / "plots").iterdir())
    assert len(plots) == 10
    for path in plots:
        assert path.read_bytes() == (built / "plots" / path.name).read_bytes()


def test_damaged_records_are_told_not_raised(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "quick"
    shutil.copytree(root / "runs" / "digits-fm_ot-81d0e4-s0", copy / "runs" / "digits-fm_ot-81d0e4-s0")
    (copy / "runs" / "digits-fm_ot-81d0e4-s0" / "samples.npz").write_bytes(b"PK\x03\x04 broken")
    stray = copy / "runs" / "not a run"
    stray.mkdir()
    (stray / "train.json").write_text("{")
    build(copy)
    html = (copy / "report.html").read_text(encoding="utf-8")
    assert "runs/digits-fm_ot-81d0e4-s0/samples.npz: ValueError" in html
    assert "not a run: " in html and "train.json: not a record" in html


def test_an_empty_folder_gives_an_empty_report(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert build(tmp_path)[0].read_text(encoding="utf-8").count("There are no records yet.") == 1


def test_reports_import_no_trainer() -> None:
    names = "methods samplers datasets networks training evaluation metrics launch"
    forbidden = {f"bench.{name}" for name in names.split()}
    light = {"bench.metrics.metric", "bench.launch.surroundings"}  # the facts of a metric, the environment of a process
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom) and node.module == "bench":
                names = [f"bench.{alias.name}" for alias in node.names]
            for name in names:
                assert name.split(".")[0] not in ("torch", "baselines"), (path, name)
                assert name in light or ".".join(name.split(".")[:2]) not in forbidden, (path, name)
