"""The order of runs: those that others wait for, those of unknown cost, then the dearest."""

import time
from types import SimpleNamespace

from fake_jobs import make_run

from bench.launch.pool import Pool
from bench.launch.progress import Progress
from bench.launch.schedule import Schedule


def test_what_is_unknown_goes_first_and_then_the_dearest():
    cheap, dear, unknown, more = (make_run(name, 1) for name in ("cheap", "dear", "unknown", "more"))
    schedule = Schedule()
    schedule.learn(make_run("cheap", 0), 1.0)
    schedule.learn(make_run("dear", 0), 4.0)
    left, order = [cheap, dear, unknown, more], []
    while left:
        order.append(left.pop(schedule.first(left, left)))
    assert order == [unknown, more, dear, cheap]


def test_the_last_that_ended_says_what_a_variant_costs():
    runs = [make_run(name, 2) for name in ("a", "b")]
    schedule = Schedule()
    for name, seed, seconds in (("a", 0, 9.0), ("b", 0, 5.0), ("a", 1, 4.0)):
        schedule.learn(make_run(name, seed), seconds)
    assert schedule.first(runs, runs) == 1


def test_a_run_that_others_wait_for_goes_before_them_all():
    teacher = make_run("teacher", 1)
    student, other = make_run("student", 1, teacher.run_id), make_run("other")
    schedule = Schedule()
    schedule.learn(make_run("teacher", 0), 1.0)
    assert schedule.first([other, teacher], [other, teacher, student]) == 1
    assert schedule.first([other, teacher], [other, teacher]) == 0


def test_the_pool_starts_the_dearest_and_holds_a_student_back(tmp_path):
    teacher, dear, cheap = make_run("teacher"), make_run("dear", 1), make_run("cheap", 1)
    student = make_run("student", 0, teacher.run_id)
    jobs = [SimpleNamespace(run=run, root=tmp_path, ranks=1) for run in (student, cheap, dear, teacher)]
    pool = Pool(jobs, [], Progress(4))
    pool._schedule.learn(make_run("dear", 0), 4.0)
    pool._schedule.learn(make_run("cheap", 0), 1.0)
    names = [pool._next().run.baseline.name for _ in range(3)]
    assert names == ["teacher", "dear", "cheap"]
    assert pool._next() is None
    pool._end(jobs[3], 0.0, None)
    assert pool._next().run is student


def test_what_a_run_had_before_in_a_training_with_others_is_no_cost_of_the_next_seed(tmp_path):
    jobs = [SimpleNamespace(run=make_run(name, 0), root=tmp_path, ranks=1) for name in ("stacked", "single")]
    pool = Pool(jobs, [], Progress(4))
    pool._before[jobs[0].run.run_id] = 1000.0
    pool._end(jobs[0], time.monotonic() - 2.0, None)
    pool._end(jobs[1], time.monotonic() - 100.0, None)
    assert pool.outcomes[jobs[0].run.run_id].seconds > 1000
    later = [make_run("stacked", 1), make_run("single", 1)]
    assert pool._schedule.first(later, later) == 1
