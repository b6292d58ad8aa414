"""Files that are whole or absent, and locks that only one process holds."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.records.disk import NoSpace, shortage
from bench.records.files import ABANDONED, sweep, write_atomic, write_text
from bench.records.locks import locked

REPOSITORY = Path(__file__).parents[2]


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


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_who_may_write_in_a_folder_may_hold_its_locks(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o775)
    with locked(folder / "lock"):
        assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o664


def test_a_writer_that_raises_leaves_no_trace_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomic(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_survives(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Wasserstein–2\n")
    assert (tmp_path / "a.txt").read_text() == "Wasserstein–2\n"


@pytest.mark.slow
def test_readers_never_see_a_half_written_file(tmp_path: Path) -> None:
    """One process rewrites a file of two lengths for a second; every read in between is one of the two."""
    path = tmp_path / "f.json"
    write_text(path, "a" * 10)
    script = (
        "import sys, time; from pathlib import Path; from bench.records.files import write_text\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end:\n"
        "    write_text(Path(sys.argv[1]), 'b' * 5000); write_text(Path(sys.argv[1]), 'a' * 10)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )
    seen = set()
    while writer.poll() is None:
        seen.add(len(path.read_text()))
    assert writer.returncode == 0
    assert seen == {10, 5000}
    assert list(tmp_path.iterdir()) == [path]


HOLDER = """
import sys, time
from pathlib import Path
from bench.records.locks import locked
with locked(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_flock_a_lock_is_held_by_one_and_freed_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / "lock"
    with locked(path) as mine:
        assert mine
        with locked(path, wait=False) as again:
            assert not again
    with locked(path, wait=False) as mine:
        assert mine
    child = os.fork()
    if not child:
        with locked(path):
            os._exit(0)  # as a kill ends it: nothing is released
    os.waitpid(child, 0)
    assert [held.name for held in tmp_path.iterdir()] in (["lock"], ["lock", "lock.held"], ["lock.held", "lock"])
    begun = time.monotonic()
    with locked(path) as mine:
        assert mine and time.monotonic() - begun < 10


@pytest.mark.slow
def test_what_killed_writes_left_is_swept_and_nothing_that_lives(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from bench.records.files import write_atomic\n"
    script += "write_atomic(Path(sys.argv[1]) / 'checkpoint.pt', lambda temporary: os._exit(9))"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment).returncode == 9
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".checkpoint.pt.") and left.suffix == ".pt"
    for name in (".hidden", ".a.part", ".a.part.json", "checkpoint.pt"):
        (tmp_path / name).write_bytes(b"x")
    elsewhere = [tmp_path / f".a.json.elsewhere.1.0123456{i}.part.json" for i in range(2)]
    for path in elsewhere:
        path.write_bytes(b"x")
    os.utime(elsewhere[1], (time.time() - 2 * ABANDONED,) * 2)

    def look(temporary: Path) -> None:
        assert set(sweep(tmp_path)) == {left, elsewhere[1]} and temporary.exists()
        temporary.write_bytes(b"mine")

    write_atomic(tmp_path / "new", look)
    assert sweep(tmp_path) == [] and elsewhere[0].exists() and len(list(tmp_path.iterdir())) == 6


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"before")
    with pytest.raises(NoSpace, match=r"^no space left on \S+ \(/\S*\) for \S*/checkpoint.pt$"):
        write_atomic(path, full)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_torchs_words_for_a_full_disk_are_not_taken_at_their_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")
    assert shortage(error, tmp_path / "c.pt") is None
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=1, f_frsize=4096))
    assert isinstance(shortage(error, tmp_path / "c.pt"), NoSpace)
    assert shortage(RuntimeError("another"), tmp_path / "c.pt") is None


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="a file system of one MiB: only root may mount it")
def test_a_checkpoint_that_does_not_fit_says_so_and_leaves_the_one_before(tmp_path: Path) -> None:
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = tmp_path / "checkpoint.pt"
        write_atomic(path, lambda temporary: torch.save(torch.zeros(1000), temporary))
        with pytest.raises(NoSpace, match=rf"^no space left on tmpfs \({tmp_path}\) for {path}$"):
            write_atomic(path, lambda temporary: torch.save(torch.zeros(10**6), temporary))
        assert torch.load(path).shape == (1000,) and list(tmp_path.iterdir()) == [path]
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="another user: only root may become one")
def test_two_users_of_a_group_share_a_folder(tmp_path: Path) -> None:
    folder, group = Path(tempfile.mkdtemp(dir="/tmp")) / "results", 54321
    folder.mkdir()
    folder.parent.chmod(0o755)
    os.chown(folder, 54321, group)
    folder.chmod(0o2775)

    def as_user(user: int, act: Callable[[], bool]) -> bool:
        child = os.fork()
        if not child:
            with suppress(BaseException):
                os.umask(0o002)
                os.setgroups([group])
                os.setgid(group)
                os.setuid(user)
                os._exit(0 if act() else 1)
            os._exit(2)
        return os.waitpid(child, 0)[1] == 0

    def work() -> bool:
        with locked(folder / "run" / "lock", wait=False) as mine, (folder / "run" / "log").open("a") as log:
            write_text(folder / "run" / "record.json", f"{os.getuid()}")
            log.write("x")
            return mine

    try:
        assert as_user(54321, work) and as_user(54322, work) and as_user(54321, work)
        assert (folder / "run" / "record.json").read_text() == "54321"
    finally:
        shutil.rmtree(folder.parent)


def test_a_lock_in_a_read_only_folder_is_an_error_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        with suppress(PermissionError), locked(folder / "lock") as mine:
            assert mine and os.geteuid() == 0  # whom no mode keeps out
    finally:
        folder.chmod(0o755)
