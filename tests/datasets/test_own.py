"""Data of one's own through a whole run, and through --fetch: what the options of a suite's file lead to."""

from pathlib import Path

import owned
import pytest

from bench.command.tiny import Workshop
from bench.config.settings import Component
from bench.datasets.mirrors import fetch
from bench.metrics.extractors import classifier
from bench.records.records import run_folder
from bench.records.seal import read_json


def test_fetch_reads_what_the_options_say(tmp_path: Path) -> None:
    owned.write(tmp_path)
    wanted = [Component(name=name, options=options) for name, options in owned.OPTIONS.items()]
    assert list(fetch(wanted, tmp_path)) == [
        f"{name}: {train} + 16 samples, nothing of its own to fetch"
        for name, train in (("folder", 144), ("parquet", 144), ("points", 112))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folder", "points"])  # parquet is as folder is, once it is packed
def test_a_run_goes_through_its_stages(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 4)
    owned.write(tmp_path / "data")
    workshop = Workshop(tmp_path / "records", tmp_path / "data", options=owned.OPTIONS)
    run = workshop.run("fm_ot", workshop.component(name))
    assert workshop.through_stages(run).startswith("train, likelihood, samples, sweep")
    record = read_json(run_folder(tmp_path / "records", run.run_id) / "likelihood.json")
    data = workshop.data(workshop.component(name))
    assert record["dataset_version"] == f"{data.version}:{data.checksum}"
    read = {Path(path).relative_to(tmp_path / "data").parts[0] for path in record["inputs"]}
    assert read == ({"points.csv"} if name == "points" else {"packed", "extractors", "fidelity"})
