"""A pool of worker processes that stay alive between runs, each with one run at a time.

A worker that dies costs its own run, which gets a failed record that says why; another takes its place. A worker that
was told to stop costs nothing: its run is put back and goes on from its checkpoint (`headway`). A run that another
process holds is put back, and asked for again once nothing else is waiting. A run that needs another one waits for it.
Seeds that are trained together (bench/launch/together.py) are put back after it, however that ended, each by itself.
"""

import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from bench.launch import GRACE, Outcome
from bench.launch.headway import Headway, goes_on, headway
from bench.launch.progress import Progress
from bench.launch.schedule import Schedule
from bench.launch.surroundings import environment
from bench.launch.together import Together, grouped
from bench.records import records
from bench.records.disk import NoSpace

if TYPE_CHECKING:
    from bench.launch.job import Job

RETRY = 5.0  # seconds between two looks at a run that another process holds
STARTS = 3  # workers in a row that may die before they are ready


class _Worker:
    """One process, the pipe to it, and the job it works on: since when, and how far it was then."""

    def __init__(self, own: dict[str, str]) -> None:
        self.own = own  # environment variables, beside those of every process
        self.ready = False
        self.job: Job | Together | None = None
        self.since = 0.0
        self.headway: Headway = {}
        self.pipe, theirs = Pipe()
        # A group of its own keeps a terminal's Ctrl-C from the worker: the launcher decides how it stops.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.launch.worker", str(theirs.fileno())],
            env=environment() | self.own,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
        theirs.close()

    def start(self, job: "Job | Together") -> None:
        for one in job.jobs if isinstance(job, Together) else [job]:
            one.folder.mkdir(parents=True, exist_ok=True)
        self.job, self.since, self.headway = job, time.monotonic(), {} if isinstance(job, Together) else headway(job)
        with suppress(OSError):  # a worker that has just died is found by `messages`
            self.pipe.send((str(job.folder / "log.txt"), pickle.dumps(job)))

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What has arrived, and at last ("died", exit code) if the process has ended."""
        ended = self.process.poll() is not None  # before the pipe is read: what it sent must not be missed
        try:
            while self.pipe.poll():
                yield self.pipe.recv()
        except (EOFError, OSError):
            ended = True
        if ended:
            yield "died", self.close(grace=5.0)

    def close(self, grace: float) -> int:
        """Wait for the process to end, kill it if it does not, and return its exit code."""
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.pipe.close()
        return self.process.wait()


class Pool:
    """Hands jobs to workers until every one has an outcome."""

    def __init__(self, jobs: Sequence["Job"], environments: list[dict[str, str]], progress: Progress) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._unfinished = {job.run.run_id for job in jobs}
        # Each until a time: that of another process's is looked at then.
        self._waiting = [(0.0, job) for job in grouped(jobs, len(environments))]
        self._before: dict[str, float] = {}  # a run's share of the seconds of a training with others
        self._announced: set[str] = set()
        self._fruitless: Counter[str] = Counter()  # stops in a row without headway
        self._failed_starts = 0
        self._schedule = Schedule()
        self._progress = progress
        self._workers = [_Worker(environment) for environment in environments]

    def work(self) -> None:
        while self._unfinished:
            for worker in self._workers:
                if worker.ready and worker.job is None and (job := self._next()):
                    worker.start(job)
                    self._progress.show(_name(job), "starting")
            # The time limit is for workers whose pipe stays open after their death, in a child of theirs.
            wait([worker.pipe for worker in self._workers], timeout=0.5)
            for i, worker in enumerate(self._workers):
                for kind, content in worker.messages():
                    if kind == "died":
                        self._bury(worker, content)
                        self._workers[i] = _Worker(worker.own)
                    else:
                        self._hear(worker, kind, content)

    def _next(self) -> "Job | Together | None":
        """The dearest job whose time has come and whose teacher has ended."""
        now = time.monotonic()
        waiting = [job.run for _, job in self._waiting]
        ready = [
            place
            for place, (start, job) in enumerate(self._waiting)
            if start <= now and self._unfinished.isdisjoint(job.run.needs)
        ]
        if not ready:
            return None
        chosen = self._schedule.first([waiting[place] for place in ready], waiting)
        return self._waiting.pop(ready[chosen])[1]

    def _hear(self, worker: _Worker, kind: str, content: Any) -> None:
        job = worker.job
        if kind == "ready":
            worker.ready, self._failed_starts = True, 0
        elif job is None:
            raise AssertionError(f"an idle worker said {kind} {content}")
        elif kind == "text":
            self._progress.show(_name(job), content)
        else:
            worker.job = None
            status, error = content
            if isinstance(job, Together):
                self._part(job, worker.since)
                if status == "full":
                    raise NoSpace(error)
            elif status == "busy":
                self._hold(job)
            elif status == "full":
                raise NoSpace(error)
            elif status == "crashed":
                self._fail(job, worker.since, error)
            else:
                self._end(job, worker.since, error)

    def _bury(self, worker: _Worker, code: int) -> None:
        """Put the run back that a dead worker left, or end it; RuntimeError if no worker starts."""
        job, cause = worker.job, cause_of_death(code)
        if isinstance(job, Together):
            self._progress.say(f"{job.name}: {cause}; each goes on by itself")
            self._part(job, worker.since)
        elif job:
            run_id, moved = job.run.run_id, headway(job) != worker.headway
            self._fruitless[run_id] = 0 if moved else self._fruitless[run_id] + 1
            if goes_on(code, moved, self._fruitless[run_id]):
                self._progress.hide(run_id)
                self._progress.say(f"{run_id} was stopped ({cause}) and goes on")
                self._waiting.append((0.0, job))
            else:
                self._fail(job, worker.since, cause)
        elif not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                raise RuntimeError(f"{STARTS} workers in a row did not start: {cause}")

    def _part(self, job: Together, since: float) -> None:
        """Put the runs back that were trained together, each by itself."""
        self._progress.hide(job.name)
        for one in job.jobs:
            self._before[one.run.run_id] = (time.monotonic() - since) / len(job.jobs)
            self._waiting.append((0.0, one))

    def _hold(self, job: "Job") -> None:
        self._progress.hide(job.run.run_id)
        if job.run.run_id not in self._announced:
            self._announced.add(job.run.run_id)
            self._progress.say(f"{job.run.run_id} is worked on by another process: waiting for it")
        self._waiting.append((time.monotonic() + RETRY, job))

    def _fail(self, job: "Job", since: float, error: str) -> None:
        records.fail(job.root, job.run, error)
        self._end(job, since, error)

    def _end(self, job: "Job", since: float, error: str | None) -> None:
        own = time.monotonic() - since
        if not error:  # other seeds that were trained with it have as much left
            self._schedule.learn(job.run, own)
        seconds = own + self._before.get(job.run.run_id, 0.0)
        outcome = Outcome(job.run.run_id, "failed" if error else "ok", seconds, error)
        self.outcomes[job.run.run_id] = outcome
        self._unfinished.discard(job.run.run_id)
        self._progress.end(outcome)

    def stop(self) -> None:
        """End every worker; those in the middle of a run get `GRACE` seconds to save a checkpoint."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        try:
            for worker in self._workers:
                worker.close(grace=max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:
            self.kill()
            raise

    def kill(self) -> None:
        for worker in self._workers:
            worker.process.kill()


def _name(job: "Job | Together") -> str:
    return job.name if isinstance(job, Together) else job.run.run_id


def cause_of_death(code: int) -> str:
    if code >= 0:
        return f"worker exited with status {code}"
    hint = "; out of memory?" if -code == signal.SIGKILL else ""
    return f"worker killed by signal {-code} ({signal.Signals(-code).name}{hint})"
