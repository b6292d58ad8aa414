"""Files that are whole or absent, and locks that only one process holds."""

import json
import math
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.files import locked, write_atomic, write_json, write_text

REPOSITORY = Path(__file__).parents[1]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")

    write_atomic(path, write)
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_writer_that_raises_leaves_no_trace_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomic(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_and_json_survive(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Wasserstein–2\n")
    assert (tmp_path / "a.txt").read_text() == "Wasserstein–2\n"
    write_json(tmp_path / "a.json", {"x": [1, 2.5, None], "nan": math.nan})
    back = json.loads((tmp_path / "a.json").read_text())
    assert back["x"] == [1, 2.5, None] and math.isnan(back["nan"])


def test_what_json_cannot_say_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_readers_never_see_a_half_written_file(tmp_path: Path) -> None:
    """One process rewrites a file of two lengths for a second; every read in between is one of the two."""
    path = tmp_path / "f.json"
    write_json(path, ["a"] * 10)
    script = (
        "import sys, time; from pathlib import Path; from bench.files import write_json\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end:\n"
        "    write_json(Path(sys.argv[1]), ['b'] * 5000); write_json(Path(sys.argv[1]), ['a'] * 10)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )
    seen = set()
    while writer.poll() is None:
        seen.add(len(json.loads(path.read_text())))
    assert writer.returncode == 0
    assert seen == {10, 5000}
    assert list(tmp_path.iterdir()) == [path]


HOLDER = """
import sys, time
from pathlib import Path
from bench.files import locked
with locked(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_by_one_process_and_freed_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert holder.stdout and holder.stdout.readline() == "True\n"
    with locked(path, wait=False) as mine:
        assert not mine
    holder.kill()
    holder.wait()
    begun = time.monotonic()
    with locked(path) as mine:
        assert mine
        with locked(path, wait=False) as again:
            assert not again
    with locked(path, wait=False) as mine:
        assert mine
    assert time.monotonic() - begun < 1
