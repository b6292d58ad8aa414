"""What the queue and accounting say, played by scripts, and what is made of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_jobs import FakeJob, make_run

from bench.config.settings import Evaluation
from bench.errors import UsageError
from bench.launch import asking, queue
from bench.launch.queue import SlurmState, Submission, collect, status, wait
from bench.records import records
from bench.records.seal import read_json, write_json

JOB = Submission("12_0", "suite-a1", "slurm/a1/log.err")


class Cluster:
    """Programs `squeue` and `sacct` that give one answer after the other, and keep to the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for program in ("squeue", "sacct"):
            script = f"#!/bin/sh\ncd {folder}; set -- {program}.*; cat $1; if [ $# -gt 1 ]; then rm $1; fi\n"
            self.program(program, script)
            self.answers(program, "")

    def program(self, name: str, script: str) -> None:
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o755)

    def breaks(self) -> None:
        """From now on squeue fails."""
        self.program("squeue", "#!/bin/sh\necho 'no controller' >&2; exit 1\n")

    def answers(self, program: str, *lines: str) -> None:
        for i, line in enumerate(lines):
            (self.folder / f"{program}.{i}").write_text(line and line + "\n")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(asking, "LAG", 0.5)
    return Cluster(tmp_path / "bin")


@pytest.fixture
def job(tmp_path):
    return FakeJob(make_run("b"), tmp_path / "suite")


def state_of(job: FakeJob, look=status) -> SlurmState:
    return look(job.root, [job.run])[job.run.run_id]


def test_a_run_that_was_never_submitted(cluster, job):
    cluster.breaks()  # there is nothing to ask about
    assert state_of(job) == SlurmState("missing")
    records.fail(job.root, job.run, "why")
    assert state_of(job) == SlurmState("failed", None, "why")
    assert job() == "ok"
    assert state_of(job) == SlurmState("ok")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("12_0|PENDING|Resources|suite-a1", SlurmState("queued", "12_0", "Resources")),
        ("12_0|PENDING|None|suite-a1", SlurmState("queued", "12_0")),
        (
            "12_0|REQUEUE_HOLD|job requeued in held state|suite-a1",
            SlurmState("queued", "12_0", "job requeued in held state"),
        ),
        ("12_0|RUNNING|None|suite-a1", SlurmState("running", "12_0")),
        ("12_0|COMPLETING|None|suite-a1", SlurmState("running", "12_0")),
        ("12_0|RUNNING|None|of-another-cluster", SlurmState("lost", "12_0")),
        ("12_1|RUNNING|None|suite-a1", SlurmState("lost", "12_0")),
    ],
)
def test_states_of_the_queue(cluster, job, line, expected):
    JOB.write(job.root, job.run)
    cluster.answers("squeue", line)
    assert state_of(job) == expected


def test_what_is_done_may_be_queued_for_a_teacher_that_is_trained_anew(cluster, job):
    assert job() == "ok"
    JOB.write(job.root, job.run)
    cluster.answers("squeue", "12_0|PENDING|Dependency|suite-a1", "")
    assert state_of(job) == SlurmState("queued", "12_0", "Dependency")
    assert state_of(job) == SlurmState("ok", "12_0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accounting", "reason"),
    [
        ("12_0|OUT_OF_MEMORY|0:125", "Slurm job 12_0 ended as OUT_OF_MEMORY (exit code 0:125): oom | killed"),
        ("12_[0-5%2]|CANCELLED by 7|0:0", "Slurm job 12_0 ended as CANCELLED by 7 (exit code 0:0): oom | killed"),
        ("12_0|RUNNING|0:0", "Slurm job 12_0 left the queue without a record: oom | killed"),
        ("", "Slurm job 12_0 left the queue without a record: oom | killed"),
    ],
)
def test_a_lost_run_gets_a_record_with_its_end_and_last_words(cluster, job, accounting, reason):
    JOB.write(job.root, job.run)
    log = job.root / JOB.log
    log.parent.mkdir(parents=True)
    log.write_text("oom\n\nkilled\n")
    cluster.answers("sacct", accounting)
    assert state_of(job) == SlurmState("lost", "12_0")
    assert state_of(job, collect) == SlurmState("failed", "12_0", reason)
    assert records.failed(job.root, job.run) == reason
    assert state_of(job) == SlurmState("failed", "12_0", reason)


def test_a_stage_that_its_job_was_not_asked_for_is_not_lost(cluster, job):
    replace(JOB, asked=queue.asked(job.run)).write(job.root, job.run)
    assert state_of(job) == SlurmState("lost", "12_0")
    records.write_stage(job.root, job.run, "train", [], {})
    assert state_of(job) == SlurmState("ok", "12_0")
    more = job.run.model_copy(update={"evaluation": Evaluation.model_validate({"likelihood": {}})})
    assert state_of(FakeJob(more, job.root), collect) == SlurmState("missing", "12_0")
    assert records.failed(job.root, more) is None


def test_a_failure_of_older_code_is_not_the_job_s_of_today(cluster, job, monkeypatch):
    JOB.write(job.root, job.run)
    records.fail(job.root, job.run, "a bug")
    assert state_of(job, collect) == SlurmState("failed", "12_0", "a bug")
    record = records.read_stage(job.root, job.run.run_id, "train")
    write_json(job.folder / "train.json", {**record, "fingerprint": "of before"})
    assert state_of(job, collect) == SlurmState("missing", "12_0")
    assert records.failed(job.root, job.run) is None


@pytest.mark.slow
def test_accounting_may_lag(cluster, job, monkeypatch):
    monkeypatch.setattr(asking, "LAG", 5.0)
    JOB.write(job.root, job.run)
    cluster.answers("sacct", "12_0|RUNNING|0:0", "12_0|TIMEOUT|0:0")
    assert "ended as TIMEOUT" in state_of(job, collect).reason


def test_a_run_on_its_way_back_into_the_queue_is_not_dead(cluster, job):
    JOB.write(job.root, job.run)
    cluster.answers("squeue", "", "12_0|PENDING|BeginTime|suite-a1")
    cluster.answers("sacct", "12_0|NODE_FAIL|0:0")
    assert state_of(job, collect) == SlurmState("queued", "12_0", "BeginTime")
    assert records.failed(job.root, job.run) is None


def test_a_record_that_came_with_the_end_counts(cluster, job):
    JOB.write(job.root, job.run)
    assert job() == "ok"
    assert state_of(job, collect) == SlurmState("ok", "12_0")


def test_no_answer_is_no_end(cluster, job, monkeypatch, tmp_path):
    JOB.write(job.root, job.run)
    cluster.breaks()
    with pytest.raises(UsageError, match=r"^squeue: no controller$"):
        collect(job.root, [job.run])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state_of(job, collect) == SlurmState("queued", "12_0", "no squeue here to ask")
    with pytest.raises(UsageError, match="squeue is not on PATH"):
        wait(job.root, [job.run])
    assert records.failed(job.root, job.run) is None


def test_a_stale_run_whose_job_ends_without_a_record_is_said_and_keeps_the_old_one(cluster, job):
    assert job() == "ok"
    write_json(job.folder / "train.json", {**job.record(), "fingerprint": "of before"})
    JOB.write(job.root, job.run)
    [outcome] = wait(job.root, [job.run])
    assert outcome.error == "Slurm job 12_0 left the queue without a record"
    assert job.record()["fingerprint"] == "of before"


@pytest.mark.parametrize("state", ["stale", "failed by older code"])
def test_a_job_that_ends_before_it_has_left_anything_of_its_own_is_failed(cluster, job, state):
    assert job() == "ok"
    (job.folder / "checkpoint.pt").write_text("whole")
    failed = {"status": "failed", "error": "a bug"} if state != "stale" else {}
    older = {**job.record(), "fingerprint": "of before", **failed}
    write_json(job.folder / "train.json", older)
    replace(JOB, when=older["finished"]).write(job.root, job.run)
    assert state_of(job).status == ("missing" if failed else "stale")  # that is what it has left
    replace(JOB, when="9").write(job.root, job.run)
    cluster.answers("sacct", "12_0|OUT_OF_MEMORY|0:125")
    reason = "Slurm job 12_0 ended as OUT_OF_MEMORY (exit code 0:125)"
    assert state_of(job, collect) == SlurmState("failed", "12_0", reason)
    assert state_of(job) == SlurmState("failed", "12_0", reason) and records.failed(job.root, job.run) == reason
    assert failed or read_json(job.folder / "train.older.json")["finished"] == older["finished"]
    assert (job.folder / ("checkpoint.pt" if failed else "checkpoint.older.pt")).read_text() == "whole"


def test_a_good_record_that_was_to_be_measured_again_is_not_failed(cluster, job):
    assert job() == "ok"
    write_json(job.folder / "train.json", {**job.record(), "again": True})
    replace(JOB, when="9").write(job.root, job.run)
    assert state_of(job, collect) == SlurmState("missing", "12_0") and job.record()["status"] == "ok"


def test_wait_follows_to_the_end(cluster, job, capsys):
    JOB.write(job.root, job.run)
    never = make_run("never")
    cluster.answers(
        "squeue", "12_0|PENDING|Priority|suite-a1", "12_0|RUNNING|None|suite-a1", "12_0|RUNNING|None|suite-a1", ""
    )
    cluster.answers("sacct", "12_0|FAILED|1:0")
    outcomes = wait(job.root, [job.run, never], poll=0.05)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert [outcome.error for outcome in outcomes] == [
        "Slurm job 12_0 ended as FAILED (exit code 1:0)",
        "not submitted",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 2
