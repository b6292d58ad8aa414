"""Seeds that a worker trains together: which are, and that each ends as it would alone."""

import json
from pathlib import Path

import pytest
from fake_jobs import FakeJob, FatalTogether, make_run
from tiny import SUITE, runs

from bench.launch.job import Job
from bench.launch.local import launch_local
from bench.launch.together import APART, MOST, Together, grouped
from bench.records import records
from bench.records.frame import read_frame
from bench.records.locks import locked

SEEDS = SUITE.replace("seeds = [0]", "seeds = [0, 1, 2]").replace(
    "batch = 16 }", "batch = 16, curve_points = 2, curve_n = 10, ema = 0.5, clip = 0.1 }"
)


def jobs(folder: Path, name: str = "results", text: str = SEEDS, baseline: str = "fm_ot") -> list[Job]:
    planned = runs(folder, text, baselines=[baseline])
    return [Job(run, folder / name, folder / "data") for run in planned]


def sizes(runs_of: dict[str, int], workers: int) -> list[int]:
    """How many runs each job has, of methods with so many seeds each."""
    every = [FakeJob(make_run(name, seed), Path()) for name, count in runs_of.items() for seed in range(count)]
    found = grouped(every, workers)  # type: ignore[arg-type]
    parts = [one.jobs if isinstance(one, Together) else (one,) for one in found]
    assert sorted(job.run.run_id for part in parts for job in part) == sorted(job.run.run_id for job in every)
    return [len(part) for part in parts]


def test_seeds_of_a_method_are_one_job_if_no_worker_is_idle_for_it() -> None:
    assert sizes({"a": 5, "b": 1, "c": 3}, 1) == [5, 1, 3]
    assert sizes({name: 5 for name in "abcd"}, 2) == [5, 5, 5, 5]
    assert sizes({"a": 5}, 16) == [1] * 5  # sixteen workers have done them before one has the stack
    assert sizes({"a": 2 * MOST + 1}, 1) == [6, 6, 5]
    assert sizes({"a": 1}, 1) == [1] and grouped([], 1) == []


@pytest.mark.parametrize(
    "training", ["stack = false", "compile = true", "micro_batch = 8", "seconds = 9", "weights = '/w.pt'"]
)
def test_runs_that_are_never_trained_together(tmp_path: Path, training: str) -> None:
    (tmp_path / "plan").mkdir()
    several = [Job(run, tmp_path, tmp_path) for run in runs(tmp_path, SEEDS, baselines=["fm_ot"])]
    assert len(grouped(several, 1)) == 1
    key, _, value = training.partition(" = ")
    value = {"false": False, "true": True, "'/w.pt'": "/w.pt"}.get(value, int(value) if value.isdigit() else value)
    other = [
        Job(
            job.run.model_copy(update={"training": job.run.training.model_copy(update={key: value})}),
            tmp_path,
            tmp_path,
        )
        for job in several
    ]
    assert len(grouped(other, 1)) == 3


def test_the_setting_is_no_part_of_a_runs_identity(tmp_path: Path) -> None:
    first, *_ = runs(tmp_path, SEEDS)
    off, *_ = runs(tmp_path, SEEDS, settings={"training.stack": False})
    assert off.training.stack is False and off.run_id == first.run_id


def values(root: Path) -> dict[tuple[object, ...], float]:
    table = read_frame(root)
    assert set(table.status) == {"ok"}
    table = table[~table.metric.str.contains("seconds|memory")]
    keys = zip(table.run_id, table.stage, table.metric, table.settings, table.step.fillna(-1), strict=True)
    found = dict(zip(keys, table.value, strict=True))
    assert len(found) == len(table)
    return found


@pytest.mark.slow
def test_runs_trained_together_measure_what_they_do_alone(tmp_path: Path) -> None:
    together, alone = jobs(tmp_path), jobs(tmp_path, "alone")
    assert Together(tuple(together))() == APART
    for job in together:
        assert not (job.folder / "train.json").exists() and (job.folder / "checkpoint.pt").exists()
        with locked(job.folder / "lock", wait=False) as free:
            assert free
    assert {job() for job in (*together, *alone)} == {"ok"}
    found, expected = values(together[0].root), values(alone[0].root)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-3, nan_ok=True)
    rows = json.loads((together[0].folder / "train.json").read_text(encoding="utf-8"))["measurements"]
    shared = {row["metric"]: row["settings"] for row in rows if row["settings"].get("stacked")}
    assert shared == {name: {"stacked": True} for name in ("train_seconds", "peak_memory_bytes")}
    log = (together[1].folder / "log.txt").read_text(encoding="utf-8")
    assert log.count("train, in a stack of 3 seeds") == 1 and "train step 6 of 6" in log


@pytest.mark.slow
def test_a_run_that_is_done_held_or_broken_takes_no_part(tmp_path: Path) -> None:
    text = SEEDS.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]")
    done, held, broken, *others = jobs(tmp_path, text=text)
    assert done() == "ok"
    held.folder.mkdir(parents=True)
    broken.folder.mkdir(parents=True)
    (broken.folder / "log.txt").mkdir()  # so that the run has no log, and goes on without
    with locked(held.folder / "lock"):
        assert Together((done, held, broken, *others))() == APART
    trained = [job for job in (held, broken, *others) if (job.folder / "checkpoint.pt").exists()]
    assert trained == [broken, *others]
    assert "in a stack of 3 seeds" in (others[0].folder / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_cannot_be_trained_together_is_left_to_each_job(tmp_path: Path) -> None:
    text = SEEDS.replace('"fm_ot", "ddpm"', '"ot_cfm", "ddpm"')
    several = jobs(tmp_path, text=text, baseline="ot_cfm")
    for job in several:
        job.folder.mkdir(parents=True)
    said: list[str] = []
    assert Together(tuple(several))(said.append) == APART
    assert said == ["not trained with other seeds: the loss of ot_cfm is not one of each sample by itself"]
    assert not (several[0].folder / "checkpoint.pt").exists()


@pytest.mark.slow
def test_the_pool_does_each_run_of_a_stack_by_itself_after_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fake jobs cannot be trained together: the attempt fails or kills its worker, and nothing comes of that."""
    several = [FatalTogether(make_run("a", seed), tmp_path) for seed in range(3)]
    killing = [FakeJob(make_run("b", seed), tmp_path, act="SIGKILL" if seed == 1 else "") for seed in range(3)]
    outcomes = launch_local([*several, *killing], workers=1, device="cpu")  # type: ignore[list-item]
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3 + ["ok", "failed", "ok"]
    assert records.failed(tmp_path, killing[1].run) == "worker killed by signal 9 (SIGKILL; out of memory?)"
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 7 and said[0].startswith(f"{several[0].run.variant}, 3 seeds: worker killed by signal 9")
