"""A method that is not for its data: every measurement says so, in a run that is done, from its records to the page."""

import json
import math
from pathlib import Path

import pytest
from tiny import SUITE, runs

import run_all
from bench.launch.job import Job
from bench.records.records import stands

REASON = "not applicable: labels = true needs data with classes"
SWEEP = 'evaluation.sweep = { n = 40, samplers = ["midpoint", "ddim"], nfe = [4], error_n = 10 }\noverrides.ddpm'


@pytest.mark.slow
def test_what_a_method_is_not_for_is_a_dash_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SUITE.replace('"fm_ot", "ddpm"', '"fm_ot", "ot_cfm"').replace("overrides.ddpm", SWEEP)
    text = text.split("\noverrides.ddpm")[0] + "\noverrides.ot_cfm.options.labels = true\n"
    planned, root = runs(tmp_path, text), tmp_path / "results" / "tiny"
    for run in planned:
        assert Job(run, root, tmp_path / "data")() == "ok"
    flow, guided = ({stage: read(root, run.run_id, stage) for stage in run.stages} for run in planned)
    assert list(guided) == ["train", "likelihood", "samples", "sweep"]
    for stage, record in guided.items():
        assert (record["status"], record["label"], record["steps"]) == ("ok", "OT-CFM", 0)
        assert record["parameters"] is None
        assert {row["reason"] for row in record["measurements"] if not row["metric"].endswith("_floor")} == {REASON}
        rows = [(row["metric"], row["settings"]) for row in record["measurements"] if "picture" not in row["metric"]]
        of_flow = [row for row in flow[stage]["measurements"] if not row["metric"].endswith("_exact")]  # of its path
        assert rows == [(row["metric"], row["settings"]) for row in of_flow], stage
        assert all(math.isnan(row["value"]) for row in record["measurements"] if row["reason"])
    assert {found.state for found in stands(root, planned[1]).values()} == {"done"}
    assert not list((root / "runs" / planned[1].run_id).glob("*.npz"))  # nor a picture of nothing
    assert not any(found.lost for found in stands(root, planned[1]).values())

    before = {path: path.read_bytes() for path in root.glob("runs/*/*.json")}
    where = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(tmp_path / "results")]
    command = [*where, "--data-dir", str(tmp_path / "data"), "--device", "cpu", "--retry"]
    assert run_all.main(command) == 0
    assert {path: path.read_bytes() for path in root.glob("runs/*/*.json")} == before
    assert REASON.removeprefix("not applicable: ") in (root / "report.html").read_text(encoding="utf-8")
    out, err = capsys.readouterr()
    assert "failed" not in out + err


def read(root: Path, run_id: str, stage: str) -> dict:
    return json.loads((root / "runs" / run_id / f"{stage}.json").read_text(encoding="utf-8"))
