"""Small inputs that once gave wrong numbers, lost results or tracebacks, each run as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.config import components
from bench.config.plan import plan
from bench.config.registry import load_plugin, networks
from bench.config.suite import load_suite
from bench.records.frame import read_frame
from bench.training.seeds import on_dataset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_interpreters")]

REPOSITORY = Path(__file__).parents[1]
FAULTS = Path(__file__).parent / "faults"


NO_LIKELIHOOD = ["--set", "evaluation.likelihood="]


def run(folder: Path, suite: str, *arguments: str, plugin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """The command on one of the suites, in a process of its own."""
    command = [sys.executable, str(REPOSITORY / "run_all.py"), "--suite", str(FAULTS / f"{suite}.toml")]
    command += ["--results", str(folder / "results"), "--data-dir", str(folder / "data"), "--workers", "1"]
    command += ["--plugin", str(FAULTS / f"{plugin}.py")] if plugin else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *arguments], capture_output=True, encoding="utf-8", env=environment, timeout=900, cwd=folder
    )


def rows(folder: Path, suite: str) -> pd.DataFrame:
    table = read_frame(folder / "results" / suite)
    table["settings"] = table.settings.map(json.loads)
    return table


def test_a_missing_value_in_a_table_is_refused_where_it_stands(tmp_path: Path) -> None:
    ended = run(tmp_path, "nan_points", plugin="nan_points")
    assert ended.returncode == 2
    (line,) = (line for line in ended.stderr.splitlines() if "error: " in line)
    for word in ("measured", "test", "row 150", "column 1"):
        assert word in line
    assert "Traceback" not in ended.stderr and not (tmp_path / "results" / "nan_points" / "runs").exists()


def test_samples_that_are_not_finite_have_no_distance(tmp_path: Path) -> None:
    sound = ["--set", "dataset.name=checkerboard", "--set", "training.steps=40", "--baselines", "mine"]
    ended = run(tmp_path, "nan_points", *sound, *NO_LIKELIHOOD, plugin="nan_points")
    assert ended.returncode == 0, ended.stderr
    table = rows(tmp_path, "nan_points")
    w2 = table[(table.metric == "w2") & (table.stage == "samples")]
    by_sampler = {s["sampler"]: (value, why) for s, value, why in zip(w2.settings, w2.value, w2.reason, strict=True)}
    assert set(by_sampler) == {"dormand_prince", "one-step"}
    assert by_sampler["dormand_prince"][0] > 0.1
    value, why = by_sampler["one-step"]
    assert value != value and "not finite" in why and "of 300" in why


TRAINED_ALONE = [*NO_LIKELIHOOD, "--set", "evaluation.samples=", "--set", "training.steps=60"]


def test_a_frozen_parameter_stays_and_two_ranks_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.load()
    monkeypatch.setattr(networks, "_entries", dict(networks._entries))  # the plugin's are forgotten after the test
    load_plugin(str(FAULTS / "networks.py"))
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    contents = []
    for folder, ranks in ((alone, []), (shared, ["--gpus", "2", "--device", "cpu"])):
        folder.mkdir()
        ended = run(folder, "frozen_parameter", *TRAINED_ALONE, *ranks, plugin="networks")
        assert ended.returncode == 0, ended.stderr
        (path,) = folder.glob("results/frozen_parameter/runs/*/checkpoint.pt")
        contents.append(torch.load(path, weights_only=True))
    name, suite = load_suite(str(FAULTS / "frozen_parameter.toml"))
    (this,) = plan(name, suite)
    torch.manual_seed(on_dataset(this.seed, this.dataset))
    dataset = components.build_dataset(this.dataset, tmp_path)
    before = dict(components.build_network(this.network, dataset).named_parameters())
    frozen = [i for i, p in enumerate(before.values()) if not p.requires_grad]
    assert len(frozen) == 1
    for content in contents:
        weights = content["module"]
        for key, p in before.items():
            assert torch.equal(weights[key], p) == (not p.requires_grad), key
        assert torch.equal(content["average"][frozen[0]], list(before.values())[frozen[0]])
    for key in before:
        assert torch.equal(contents[0]["module"][key], contents[1]["module"][key]), key
    for one, two in zip(contents[0]["average"], contents[1]["average"], strict=True):
        assert torch.equal(one, two)


def test_a_solver_that_blows_up_loses_its_own_cell_alone(tmp_path: Path) -> None:
    ended = run(tmp_path, "stiff", plugin="stiff")
    assert ended.returncode == 0, ended.stderr
    table = rows(tmp_path, "stiff")
    swept = table[(table.stage == "sweep") & (table.metric == "w2")]
    lost = swept[swept.value.isna()]
    assert len(swept) == 7 and 0 < len(lost) < 7
    assert lost.reason.str.contains("diverged").all()
    adaptive = [s["sampler"] == "dormand_prince" for s in swept.settings]
    assert swept[adaptive].value.notna().all()
    assert set(table[table.stage == "samples"].metric) >= {"w2", "path_energy", "straightness"}
    assert "diverged" in (tmp_path / "results" / "stiff" / "report.html").read_text(encoding="utf-8")


def test_two_settings_of_one_dataset_are_told_apart(tmp_path: Path) -> None:
    ended = run(tmp_path, "same_dataset_twice", *NO_LIKELIHOOD)
    assert ended.returncode == 0, ended.stderr
    root = tmp_path / "results" / "same_dataset_twice"
    headings = [line for line in (root / "table.md").read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings)) == 9  # summary, quality and cost of three
    assert any("mean = 3" in heading for heading in headings) and any("dim = 3" in heading for heading in headings)
    names = [path.name for path in root.rglob("*")]
    assert not [name for name in names if ":" in name]
    conditional = [name for name in names if name.endswith("_conditional.png")]
    assert len(conditional) == 2 and len({n for n in conditional if "mean=3" in n}) == 1


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["dataset.name=lab/run 1", "dataset.means=", "network.name=bn", "network.depth=", "evaluation.likelihood="],
    ],
    ids=["as it is", "other names"],
)
def test_lists_of_lists_and_odd_names_run(tmp_path: Path, settings: list[str]) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    ended = run(tmp_path, "list_option", "--baselines", "fm/ot,fm_ot", *sets, plugin="list_option")
    assert ended.returncode == 0, ended.stderr
    table = rows(tmp_path, "list_option")
    assert set(table.status) == {"ok"} and set(table.baseline) == {"fm/ot", "fm_ot"}
    assert table[table.metric == "w2"].value.notna().all()
    written = {path.parent for path in tmp_path.rglob("*.json") if "runs" in path.parts}
    assert written and all(path.parent == tmp_path / "results" / "list_option" / "runs" for path in written)


NETWORKS = ["weightnorm_old", "spectral_old", "lazy"]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_runs_to_the_end_or_is_refused_before_the_first_step(tmp_path: Path, network: str) -> None:
    settings = ["--set", f"network.name={network}", "--set", "training.steps=4", *NO_LIKELIHOOD]
    ended = run(tmp_path, "frozen_parameter", *settings, plugin="networks")
    root = tmp_path / "results" / "frozen_parameter"
    assert "Traceback" not in ended.stderr
    if ended.returncode == 0:
        assert set(read_frame(root).stage) == {"train", "samples"}
    else:
        assert network in ended.stderr + ended.stdout
        assert not list(root.glob("runs/*/checkpoint.pt"))
