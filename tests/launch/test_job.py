"""A run from start to end: its stages, its measurements, and what happens when something goes wrong."""

import json
import math
import pickle
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SUITE, runs

from bench.config.components import build_dataset
from bench.config.settings import Component
from bench.errors import Diverged, UsageError
from bench.launch.job import Job, explain
from bench.records import records
from bench.records.frame import read_frame
from bench.records.locks import locked
from bench.records.seal import write_json

pytestmark = pytest.mark.slow

CHECKERBOARD = Component(name="checkerboard", options={"n_train": 10, "n_test": 10})
SWEEP = "evaluation.sweep = { n = 30, nfe = [4, 8], tolerances = [1e-2], error_n = 20 }\n"


def job(tmp_path: Path, text: str = SUITE, index: int = 0, **keywords: object) -> Job:
    return Job(runs(tmp_path, text)[index], tmp_path / "results", tmp_path / "data", **keywords)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """DDPM, for its native samplers, through all four stages; the folder of the run and what was said."""
    folder = tmp_path_factory.mktemp("job")
    said: list[str] = []
    text = SUITE.replace("batch = 16 }", "batch = 16, curve_points = 2, curve_n = 10, ema = 0.5, clip = 1e-9 }") + SWEEP
    this = job(folder, text, 1)
    assert this(said.append) == "ok"
    return this.root, this.folder, said


def test_every_stage_leaves_a_record(done: tuple[Path, Path, list[str]]) -> None:
    _, folder, said = done
    names = {p.name for p in folder.iterdir()}
    assert {f"{stage}.json" for stage in ("train", "likelihood", "samples", "sweep")} <= names
    assert {"checkpoint.pt", "log.txt", "likelihood.npz", "samples.npz", "sweep.npz"} <= names
    assert said[0] == "train" and said[-1] == "ok"
    assert not [name for name in names if name.startswith(".")]


def test_measurements_of_every_stage(done: tuple[Path, Path, list[str]]) -> None:
    table = read_frame(done[0])
    assert set(table.status) == {"ok"}

    def metrics(stage: str) -> set[str]:
        return set(table[table.stage == stage].metric)

    training = {"steps", "train_seconds", "nfe_training", "train_loss", "clipped_steps", "peak_memory_bytes"}
    assert metrics("train") == training | {"nll_nats", "nll_defensive_nats", "w2", "nfe_sampling"}
    cost = {"nfe_likelihood", "likelihood_seconds", "peak_memory_bytes"}
    nll = {"nll_nats", "nll_defensive_nats", "lost_points", "nll_floor", "nll_defensive_floor"}
    assert metrics("likelihood") == cost | nll
    geometry = {
        f"{name}{kind}" for name in ("path_energy", "straightness", "tortuosity", "npe") for kind in ("", "_exact")
    }
    assert metrics("samples") == geometry | {"w2", "w2_floor", "nfe_sampling", "sampling_seconds", "peak_memory_bytes"}
    assert metrics("sweep") == {"w2", "w2_floor", "sampling_seconds", "ode_error"}
    assert table.value.notna().all()


def test_numbers_that_are_known(done: tuple[Path, Path, list[str]]) -> None:
    table = read_frame(done[0])
    table["settings"] = table.settings.map(json.loads)

    def value(metric: str, stage: str) -> float:
        return float(table[(table.metric == metric) & (table.stage == stage)].value.iloc[0])

    assert value("steps", "train") == value("nfe_training", "train") == 6 and value("clipped_steps", "train") == 1
    assert set(table.steps) == {6} and set(table.parameters) == {3 * 8 + 8 + 8 * 2 + 2}
    assert value("nll_floor", "likelihood") == pytest.approx(math.log(32))
    curve = table[table.step.notna()]
    assert list(curve.step) == [3] * 4 + [6] * 4 and set(curve.n) == {10}
    assert list(curve.metric) == ["nll_nats", "nll_defensive_nats", "w2", "nfe_sampling"] * 2
    assert (curve.nfe_training == curve.step).all()
    cost = table[(table.metric == "nfe_sampling") & (table.stage == "samples")]
    evaluations = {s["sampler"]: nfe for s, nfe in zip(cost.settings, cost.value, strict=True)}
    assert evaluations.pop("dormand_prince") % 6 == 1
    assert evaluations == {"ancestral-5": 5, "ddim-3": 3}
    sweep = table[(table.stage == "sweep") & table.nfe.notna()]  # all but the floor
    swept = sweep.settings
    fixed = {(s["sampler"], s["steps"], nfe) for s, nfe in zip(swept, sweep.nfe, strict=True) if "steps" in s}
    assert fixed == {(m, nfe // c, nfe) for m, c in (("euler", 1), ("midpoint", 2), ("rk4", 4)) for nfe in (4, 8)}
    assert {s["rtol"] for s in swept if s["sampler"] == "dormand_prince"} == {1e-2}
    assert {s["weights"] for s in table.settings if "weights" in s} == {"ema"}


def test_arrays_are_what_plots_expect(done: tuple[Path, Path, list[str]]) -> None:
    _, folder, _ = done
    arrays = {p.stem: dict(np.load(p)) for p in folder.glob("*.npz")}
    density, times = arrays["likelihood"]["log_densities"], arrays["likelihood"]["density_times"]
    assert density.shape == (5, 80, 80) and density.dtype == np.float16
    assert times[-1] == 1 - 1e-5 and np.allclose(times, np.linspace(0.2, 1, 5), atol=1e-4)
    assert arrays["likelihood"]["extent"] == arrays["samples"]["extent"] == build_dataset(CHECKERBOARD, folder).extent
    samples = arrays["samples"]
    assert samples["samples"].shape == (40, 2) and samples["times"].shape == (5,)
    assert samples["trajectories"].shape == (5, 20, 2)
    assert samples["conditional_paths"].shape == (51, 20, 2) and samples["conditional_fields"].shape == (4, 20, 20, 2)
    assert samples["conditional_field_times"].shape == (4,) and samples["conditional_times"].shape == (51,)
    kept = {f"samples_{sampler}_{nfe}" for sampler in ("euler", "midpoint", "rk4") for nfe in (4, 8)}
    assert {k for k in arrays["sweep"]} == kept | {"extent"}


def test_facts_stand_in_every_record(done: tuple[Path, Path, list[str]]) -> None:
    for stage in ("train", "likelihood", "samples", "sweep"):
        record = json.loads((done[1] / f"{stage}.json").read_text())
        assert record["label"] == "DDPM" and record["device"].startswith("cpu (")
        of_flows = {"labels": False, "label_dropout": 0.1, "prediction": "noise", "times": "uniform"}
        own = {"beta_min": 0.1, "beta_max": 20.0, "ancestral_steps": 5, "ddim_steps": 3}
        assert record["options"] == own | of_flows
        assert record["dataset_version"].count(":") == 1 and record["commit"]
        assert record["versions"]["torch"] == torch.__version__.split("+")[0] or record["versions"]["torch"]


def test_a_job_travels_and_a_done_one_does_nothing(tmp_path: Path) -> None:
    this = pickle.loads(pickle.dumps(job(tmp_path)))
    assert this() == "ok"
    written = {p: p.stat().st_mtime_ns for p in this.folder.iterdir() if p.suffix in (".json", ".npz", ".pt")}
    assert this() == "ok"
    assert {p: p.stat().st_mtime_ns for p in written} == written


def test_another_evaluation_repeats_its_stage_alone(tmp_path: Path) -> None:
    this = job(tmp_path)
    this()
    before = {p.name: p.stat().st_mtime_ns for p in this.folder.glob("*.json")}
    changed = job(tmp_path, SUITE.replace("w2_n = 20", "w2_n = 10"))
    said: list[str] = []
    assert changed.folder == this.folder and changed(said.append) == "ok"
    after = {p.name: p.stat().st_mtime_ns for p in this.folder.glob("*.json")}
    assert {name for name in after if after[name] != before[name]} == {"samples.json"}
    assert [text for text in said if text in this.run.stages] == ["samples"]
    w2 = read_frame(this.root)[lambda f: f.metric == "w2"]
    assert list(w2.n) == [10]


def test_the_same_run_elsewhere_measures_the_same(tmp_path: Path) -> None:
    values = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        this = job(folder)
        assert this() == "ok"
        table = read_frame(this.root)
        exact = table[~table.metric.str.contains("seconds|memory")]
        values.append(exact[["metric", "value", "settings"]].values.tolist())
    assert values[0] == values[1]


def test_records_that_outlive_their_checkpoint_are_completed(tmp_path: Path) -> None:
    this = job(tmp_path)
    this()
    first = read_frame(this.root)[lambda f: f.metric == "w2"].value.tolist()
    (this.folder / "checkpoint.pt").unlink()
    (this.folder / "samples.json").unlink()
    assert this() == "ok"
    assert read_frame(this.root)[lambda f: f.metric == "w2"].value.tolist() == first


def test_a_run_that_is_worked_on_is_busy(tmp_path: Path) -> None:
    this = job(tmp_path)
    with locked(this.folder / "lock"):
        assert this() == "busy"
    assert not (this.folder / "train.json").exists()


# Failures.

PLUGIN = textwrap.dedent(
    """
    '''A method that fails when told to: in its loss at once, else where more samples come than a rehearsal takes.'''
    from dataclasses import dataclass
    import torch
    from bench.methods.flow import FlowBaseline
    from bench.methods.baseline import register_baseline

    @register_baseline("failing", label="Failing")
    @dataclass(frozen=True)
    class Failing(FlowBaseline):
        how: str = "loss"

        def loss(self, net, x1, rng):
            if self.how == "loss":
                raise RuntimeError("no such\\n  loss")
            t = torch.rand(len(x1), generator=rng)
            lost = self.how == "nan" and len(x1) > 5
            return (net(t, x1) * (float("nan") if lost else 1.0)).square().mean(1)

        def velocity(self, net):
            def f(t, x):
                if self.how == "velocity" and len(x) > 5:
                    raise KeyError("velocity")
                return -100 * x**3
            return f
    """
)


def failing(tmp_path: Path, how: str) -> Job:
    plugin = tmp_path / "failing.py"
    plugin.write_text(PLUGIN)
    text = SUITE.replace('"fm_ot", "ddpm"', '"failing"').replace("overrides.ddpm", "# ")
    text += f'overrides.failing = {{ options.how = "{how}" }}\n'
    return job(tmp_path, text, plugins=(str(plugin),))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("loss", "baseline failing with network mlp: loss(net, x1, rng) of 3 samples: RuntimeError: no such loss"),
        ("nan", "diverged: the loss is nan at step 6"),
    ],
)
@pytest.mark.usefixtures("own_baselines")
def test_a_training_that_fails_ends_the_run_with_its_reason(tmp_path: Path, how: str, reason: str) -> None:
    this = failing(tmp_path, how)
    assert this() == "failed"
    record = json.loads((this.folder / "train.json").read_text())
    assert record["status"] == "failed" and record["error"].startswith(reason) and "\n" not in record["error"]
    assert record["measurements"] == [] and records.failed(this.root, this.run) == record["error"]
    assert not (this.folder / "likelihood.json").exists() and not (this.folder / "samples.json").exists()
    log = (this.folder / "log.txt").read_text()
    assert "Traceback" in log and f"failed: {reason}" in log


@pytest.mark.usefixtures("own_baselines")
def test_an_evaluation_whose_code_is_wrong_fails_stage_by_stage(tmp_path: Path) -> None:
    this = failing(tmp_path, "velocity")
    assert this() == "failed"
    train, *others = (json.loads((this.folder / f"{s}.json").read_text()) for s in ("train", "likelihood", "samples"))
    assert train["status"] == "ok"  # what was measured before the failure stays
    for record in others:
        assert (record["status"], record["error"]) == ("failed", "KeyError: 'velocity'")
        assert record["measurements"] == [] and record["label"] == "Failing" and record["parameters"] == 50
    assert records.failed(this.root, this.run) == "KeyError: 'velocity'"


@pytest.mark.usefixtures("own_baselines")
def test_a_likelihood_that_diverges_leaves_its_reason_and_the_samples_are_measured(tmp_path: Path) -> None:
    this = failing(tmp_path, "solve")
    assert this() == "ok"
    found = read_frame(this.root)
    assert set(found.status) == {"ok"}
    lost = found[found.stage == "likelihood"].set_index("metric")
    of_densities = {"nll_nats", "nll_defensive_nats", "lost_points", "nfe_likelihood", "likelihood_seconds"}
    of_densities |= {"peak_memory_bytes"}
    assert set(lost.index) == of_densities | {"nll_floor", "nll_defensive_floor", "density_picture"}
    for metric in of_densities:
        assert math.isnan(lost.value[metric]) and lost.reason[metric].startswith("diverged: dormand_prince: ")
    assert lost.value["nll_floor"] == pytest.approx(math.log(32)) and lost.reason.isna()["nll_floor"]
    assert lost.n["nll_nats"] == 20 and json.loads(lost.settings["nll_nats"])["draws"] == 1
    samples = found[found.stage == "samples"]
    assert samples.reason.isna().all() and samples.value.notna().all() and "w2" in set(samples.metric)


def test_data_that_is_not_there_is_a_failed_record(tmp_path: Path) -> None:
    text = SUITE.replace("n_train = 256", "n_train = -5")
    this = job(tmp_path, text)
    assert this() == "failed"
    record = json.loads((this.folder / "train.json").read_text())
    assert record["status"] == "failed" and record["error"] and record["commit"]


def test_reasons_are_sentences_for_users(tmp_path: Path) -> None:
    run = runs(tmp_path)[0]
    assert explain(UsageError("digits: no network"), run) == "digits: no network"
    assert explain(Diverged("dopri5: underflow"), run) == "diverged: dopri5: underflow"
    assert explain(ValueError("odd"), run) == "ValueError: odd"
    memory = explain(torch.OutOfMemoryError("CUDA out of memory"), run)
    assert "out of memory" in memory and "training.micro_batch = 16 of batch 16" in memory and "fm_ot" in memory


def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    this = job(tmp_path)

    def interrupt(text: str) -> None:
        if text.startswith("train step 6 of 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        this(interrupt)
    assert records.failed(this.root, this.run) is None and not (this.folder / "train.json").exists()
    assert this() == "ok"


def test_a_training_that_is_stale_is_set_aside_once_and_then_resumed(tmp_path: Path) -> None:
    this = job(tmp_path, SUITE.replace("steps = 6, batch = 16", "steps = 6, batch = 16, checkpoint_seconds = 1e-9"))
    assert this() == "ok"
    for stage in this.run.stages:
        path = this.folder / f"{stage}.json"
        write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "code": "of before"})
    (this.folder / "log.txt").unlink()

    def interrupt(text: str) -> None:
        if text.startswith("train step 6 of 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        this(interrupt)
    assert {found.state for found in records.stands(this.root, this.run).values()} == {"missing"}
    assert this() == "ok"
    log = (this.folder / "log.txt").read_text(encoding="utf-8")
    assert log.count("set aside: checkpoint.older.pt, ") == log.count("resumed at step 5") == 1
    assert {found.state for found in records.stands(this.root, this.run).values()} == {"done"}
    assert json.loads((this.folder / "train.older.json").read_text(encoding="utf-8"))["code"] == "of before"


def test_an_interruption_in_the_last_validation_costs_no_point_of_the_curve(tmp_path: Path) -> None:
    this = job(tmp_path, SUITE.replace("batch = 16 }", "batch = 16, curve_points = 2, curve_n = 10 }"))
    points = 0

    def interrupt(text: str) -> None:
        nonlocal points
        points += text == "validation distance"
        if points == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        this(interrupt)
    assert this() == "ok"
    record = json.loads((this.folder / "train.json").read_text(encoding="utf-8"))
    w2 = [m["place"]["step"] for m in record["measurements"] if m["metric"] == "w2"]
    assert w2 == [3, 6]
