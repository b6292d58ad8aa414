"""The lines for a notebook, of the code and of bench/README.md, run as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from evaluation.test_loaded import trained
from tiny import runs

import bench.evaluation.loaded

README = Path(__file__).parents[1] / "bench" / "README.md"


def lines() -> Iterator[str]:
    """Each block of lines that loads a run."""
    told = (bench.evaluation.loaded.__doc__ or "").splitlines()
    yield "\n".join(line.removeprefix("    ") for line in told if line.startswith("    "))
    for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        if "bench.load(" in block:
            yield block


@pytest.mark.slow
@pytest.mark.parametrize("code", lines())
def test_the_lines_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = runs(tmp_path)[0]
    trained(run, tmp_path, tmp_path / "results" / "quick")
    known: dict[str, object] = {}
    exec(code.replace("RUN_ID", run.run_id), known)
    x, v, frame = known["x"], known["v"], known["frame"]
    assert isinstance(x, torch.Tensor) and isinstance(v, torch.Tensor) and v.shape == x.shape == (64, 2)
    assert frame.run_id.iloc[0] == run.run_id
    assert capsys.readouterr().out.startswith(f"<FM w/ OT on checkerboard: 50 parameters, run {run.run_id}>")
