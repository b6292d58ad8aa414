"""What records say of their standing is kept, and never for longer than the records are those that were read."""

import os
from pathlib import Path

import pytest
from tiny import runs

from bench.config.suite import Run
from bench.records import index, records, stamps
from bench.records.index import KEPT_IN, Index, stands_of
from bench.records.measurement import Measurement


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Run]]:
    """A folder with a record of every stage of two runs, whose files are kept from the first on, however new."""
    monkeypatch.setattr(index, "FEWEST", 1)
    monkeypatch.setattr(stamps, "SETTLED", -3600.0)
    root, both = tmp_path / "results", runs(tmp_path)[:2]
    for run in both:
        for stage in run.stages:
            records.write_stage(root, run, stage, [Measurement("w2", reason="out of memory")], {"label": "L"})
    return root, both


def read_anew(root: Path, found: list[Run]) -> int:
    """Records that are read themselves to say where all stand, which is what each run says alone."""
    seen = Index(root)
    stands = {run.run_id: records.stands(root, run, seen.read) for run in found}
    assert stands == stands_of(root, found) == {run.run_id: records.stands(root, run) for run in found}
    return seen.read_anew


def test_a_record_is_read_once(measured: tuple[Path, list[Run]]) -> None:
    root, both = measured
    assert read_anew(root, both) == sum(len(run.stages) for run in both)
    assert read_anew(root, both) == 0
    lost = stands_of(root, both)[both[0].run_id]["samples"].lost
    assert lost == (("w2", "out of memory"),)


def test_what_has_changed_is_read_anew(measured: tuple[Path, list[Run]]) -> None:
    root, both = measured
    stands_of(root, both)
    records.write_stage(root, both[0], "train", [], {}, error="no luck")
    assert read_anew(root, both) == 1
    assert stands_of(root, both)[both[0].run_id]["train"].reason == "no luck"
    path = records.record_path(root, both[1].run_id, "samples")
    text, times = path.read_bytes(), path.stat()
    path.write_bytes(text.replace(b"out of memory", b"out of fuel!!"))  # of one size, at its place, at the same time
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stands_of(root, both)[both[1].run_id]["samples"].state == "failed"  # its digest is not its content's
    path.unlink()
    assert stands_of(root, both)[both[1].run_id]["samples"].state == "missing"


def test_what_is_not_sound_is_read_every_time(measured: tuple[Path, list[Run]]) -> None:
    root, both = measured
    records.record_path(root, both[0].run_id, "samples").write_text("{}")
    stands_of(root, both)
    assert read_anew(root, both) == 1


@pytest.mark.parametrize("content", ["", "{}", '{"readers": 3}'])
def test_a_damaged_index_says_nothing(measured: tuple[Path, list[Run]], content: str) -> None:
    root, both = measured
    stands_of(root, both)
    (root / KEPT_IN).write_text(content)
    assert read_anew(root, both) == sum(len(run.stages) for run in both)
    assert read_anew(root, both) == 0


def test_records_read_by_other_rules_are_read_anew(
    measured: tuple[Path, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, both = measured
    stands_of(root, both)
    monkeypatch.setattr(index, "_readers", lambda: "others")
    assert read_anew(root, both) == sum(len(run.stages) for run in both)


def test_a_record_that_was_just_written_is_not_kept(
    measured: tuple[Path, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within the clock's grain would have the same stamp."""
    monkeypatch.setattr(stamps, "SETTLED", 3600.0)
    root, both = measured
    stands_of(root, both)
    assert read_anew(root, both) == sum(len(run.stages) for run in both)


def test_few_records_leave_no_file(measured: tuple[Path, list[Run]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FEWEST", 1000)
    root, both = measured
    stands_of(root, both)
    assert not (root / KEPT_IN).exists()
