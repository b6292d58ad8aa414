"""The stages of a run whose field is stiff: one that blows up loses its own cells, and --retry's mark repeats those."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import runs
from torch import Tensor

from bench.command import actions as command
from bench.command import notices
from bench.config.registry import baselines, load_plugin
from bench.config.settings import Component
from bench.evaluation.stages import Stages
from bench.launch.job import Job
from bench.launch.surroundings import interpreter
from bench.launch.torchrun import run
from bench.metrics.metric import FLOOR
from bench.records import records, retries
from bench.training.seeds import on_dataset

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parents[1] / "faults" / "stiff.py"
SUITE = """
protocol = "smoke"
seeds = [0]
[[experiments]]
dataset = { name = "checkerboard", n_train = 2048, n_test = 300 }
network = { name = "mlp", width = 16, depth = 2 }
baselines = ["stiff"]
training = { steps = 30, batch = 64, micro_batch = 16, lr = 5e-3, curve_points = 1, curve_n = 20 }
evaluation.likelihood = { n = 20, batch = 10 }
evaluation.sweep = { n = 60, batch = 30, error_n = 20, solvers = ["euler", "rk4"], nfe = [8, 200], tolerances = [1e-2] }
[experiments.evaluation.samples]
n = 60
batch = 30
w2_n = 60
path_n = 20
path_times = 5
solver = { rtol = 1e-3, atol = 1e-3 }
"""
LOST = {("euler", 8.0), ("rk4", 8.0)}  # the cubic field is as large as any number after a few such steps

Cells = dict[tuple[Any, ...], Any]


@pytest.fixture(scope="module", autouse=True)
def _own_baselines() -> Iterator[None]:
    baselines.load()
    before = dict(baselines._entries)
    yield
    baselines._entries = before


def stiff(folder: Path) -> Job:
    shutil.copy(PLUGIN, folder / "stiff.py")
    plugin = str(folder / "stiff.py")
    load_plugin(plugin)
    return Job(runs(folder, SUITE)[0], folder / "results", folder / "data", plugins=(plugin,))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = stiff(tmp_path_factory.mktemp("stiff"))
    assert job() == "ok"
    return job


def rows(job: Job, stage: str) -> list[dict[str, Any]]:
    record = records.read_stage(job.root, job.run.run_id, stage)
    assert record and record["status"] == "ok"
    return [row for row in record["measurements"] if not row["metric"].endswith(FLOOR)]


def test_settings_that_blow_up_have_their_reason_and_the_others_their_values(done: Job) -> None:
    found = rows(done, "sweep")
    assert len(found) == 15  # three measurements of five settings
    for row in found:
        settings = row["settings"]
        if (settings["sampler"], row["place"]["nfe"]) in LOST:
            assert math.isnan(row["value"])
            assert row["reason"].startswith(f"diverged at 8 evaluations: {settings['sampler']}: ")
        else:
            assert math.isfinite(row["value"]) and row["reason"] is None


def test_a_lost_cell_is_the_cell_that_it_would_have_been(done: Job) -> None:
    """Same metrics, counts and settings as the same solver where it has not diverged, but for its evaluations."""

    def cells(steps: int) -> set[str]:
        own = [r for r in rows(done, "sweep") if r["settings"]["sampler"] == "rk4" and r["settings"]["steps"] == steps]
        other = {"steps": None}
        return {json.dumps([r["metric"], r["n"], r["settings"] | other], sort_keys=True) for r in own}

    assert cells(2) == cells(50) and len(cells(2)) == 3
    nfe = [r["place"]["nfe"] for r in rows(done, "sweep") if r["settings"].get("steps") in (2, 50)]
    assert nfe == [8.0] * 3 + [200.0] * 3


def test_everything_else_of_the_run_is_measured(done: Job) -> None:
    assert all(r["reason"] is None and math.isfinite(r["value"]) for r in rows(done, "samples"))
    lost = {r["metric"] for r in rows(done, "likelihood") if r["reason"]}
    assert lost >= {"nll_nats", "nfe_likelihood", "likelihood_seconds"}  # backwards from data the field explodes
    curve = [r for r in rows(done, "train") if r["place"]]
    had = {"nll_nats": False, "nll_defensive_nats": False, "w2": True, "nfe_sampling": True}
    assert {r["metric"]: r["reason"] is None for r in curve} == had


def test_what_is_lost_is_said_and_asked_for_again_alone(
    done: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = replace(done, root=tmp_path / "results")
    shutil.copytree(done.root, job.root)
    found = retries.lost(records.stands(job.root, job.run))
    said = {reason.rsplit(": ", 1)[0]: metrics for (stage, reason), metrics in found.items() if stage == "sweep"}
    swept = ["w2", "sampling_seconds", "ode_error"]
    assert said == {f"diverged at 8 evaluations: {solver}": swept for solver in ("euler", "rk4")}
    assert {stage for stage, _ in found} == {"likelihood", "sweep"}  # and no point of the curve
    assert records.finished(job.root, job.run)
    stands = {job.run.run_id: records.stands(job.root, job.run)}
    assert command.todo_of(stands, [job.run], retry=False) == ([], {})
    assert command.todo_of(stands, [job.run], retry=True) == ([job.run], {})
    notices.say_lost(stands)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"lost: {job.run.run_id}: ") and lines[-1].endswith("--retry measures them again")
    assert int(lines[-1].split()[0]) == sum(map(len, found.values()))

    before = {stage: rows(job, stage) for stage in job.run.stages}
    retries.ask_again(job.root, job.run)
    assert not records.finished(job.root, job.run)
    assert str({stage: rows(job, stage) for stage in job.run.stages}) == str(before)  # a report goes on showing them
    lines = []
    assert job(lines.append) == "ok"
    made = [
        text for text in lines if text.startswith(("sweep ", "likelihood {", "samples ")) and "diverged" not in text
    ]
    assert {text for text in made if text.startswith("sweep")} == {
        f"sweep {solver}-{steps}" for solver, steps in (("euler", 8), ("rk4", 2))
    }
    assert not [text for text in made if text.startswith("samples")]
    assert records.finished(job.root, job.run)

    def bare(stage: str, found: list[dict[str, Any]]) -> list[Any]:
        return [(r["metric"], r["settings"], r["reason"], str(r["value"])) for r in found if not r["reason"]]

    assert {s: bare(s, rows(job, s)) for s in job.run.stages} == {s: bare(s, before[s]) for s in job.run.stages}


def test_all_that_a_run_draws_is_of_its_seed_and_its_dataset(done: Job, tmp_path: Path) -> None:
    """Methods of one seed share initial weights and noise on one dataset, where they are paired, and on no other."""
    larger = done.run.dataset.model_copy(update={"options": {**done.run.dataset.options, "n_test": 301}})
    found = dict[str, tuple[Tensor, Tensor]]()
    for name, changed in {
        "one": {},
        "method": {"baseline": Component(name="fm_ot")},
        "seed": {"seed": 7},
        "dataset": {"dataset": larger},
    }.items():
        run = done.run.model_copy(update=changed)
        stages = Stages(replace(done, run=run, root=tmp_path / name), lambda text: None)
        seed = on_dataset(run.seed, run.dataset)
        trained = stages._evaluator(stages.trainer.module, stages.judge).trained
        assert stages.judge.seed == stages.judge.for_tuning.seed == stages.trainer.seed == trained.seed == seed
        found[name] = next(stages.trainer.module.parameters()), trained.noise(0, 4)
    for name, pair in found.items():
        same = name in ("one", "method")
        assert [torch.equal(a, b) for a, b in zip(found["one"], pair, strict=True)] == [same, same], name


def test_a_stage_says_whether_samples_are_given_something(done: Job, tmp_path: Path) -> None:
    stages = Stages(replace(done, root=tmp_path), lambda text: None)
    assert stages.facts()["given"] is False
    stages.dataset = replace(stages.dataset, given=lambda x: x)
    assert stages.facts()["given"] is True


def test_data_that_runs_draw_share_a_version_and_have_a_checksum_each(done: Job, tmp_path: Path) -> None:
    component = done.run.dataset.model_copy(update={"options": {**done.run.dataset.options, "seed": "run"}})
    runs = [done.run.model_copy(update={"dataset": component, "seed": seed}) for seed in (4, 5)]
    one, other = (Stages(replace(done, run=run, root=tmp_path), lambda text: None).facts() for run in runs)
    assert one["dataset_version"] == other["dataset_version"] and ":" not in one["dataset_version"]
    assert one["dataset_checksum"] != other["dataset_checksum"]
    assert runs[0].variant == runs[1].variant


def test_two_ranks_lose_what_one_loses(done: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"OMP_NUM_THREADS": "1", **interpreter()}.items():
        monkeypatch.setenv(variable, value)
    shared = replace(done, root=tmp_path / "results", ranks=2)
    assert run(shared) == "ok"
    for stage in ("likelihood", "sweep", "samples"):
        ones, twos = rows(done, stage), rows(shared, stage)
        assert [(r["metric"], r["settings"], r["reason"]) for r in ones] == [
            (r["metric"], r["settings"], r["reason"]) for r in twos
        ]
