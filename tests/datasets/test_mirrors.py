import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.config.registry import datasets
from bench.config.settings import Component
from bench.datasets import downloads, mirrors
from bench.datasets.base import Dataset
from bench.datasets.mirrors import Mirror, fetch, files
from bench.errors import UsageError
from bench.records.disk import NoSpace

CONTENTS = {"train": b"many bytes" * 1000, "test": b"few bytes"}


def components(*names: str) -> list[Component]:
    return [Component(name=name) for name in names]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


FILES = {name: sha256(data) for name, data in CONTENTS.items()}


def tarball(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


WHOLE = tarball(CONTENTS)


class Home:
    """A downloader that answers from a dict, and counts what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Exception] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        self.asked.append(url)
        answer = self.answers.get(url, OSError("no connection"))
        if isinstance(answer, Exception):
            Path(output_file).write_bytes(WHOLE[:100])  # the connection breaks half-way
            raise answer
        Path(output_file).write_bytes(answer)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    """Two mirrors of the files of "pets": first://pets.tgz, then second:pets@1#pets-1.tgz."""
    home = Home()
    monkeypatch.setattr(mirrors, "DOWNLOADERS", {"first": home, "second": home})
    pets = tuple(Mirror({url: sha256(WHOLE)}, FILES) for url in ("first://pets.tgz", "second:pets@1#pets-1.tgz"))
    monkeypatch.setitem(mirrors.MIRRORS, "pets", pets)
    return home


def refusal(data_dir: Path, name: str = "pets") -> str:
    with pytest.raises(UsageError) as caught:
        files(name, data_dir)
    return str(caught.value)


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_the_first_source_serves_and_is_asked_once(home, tmp_path):
    home.answers["first://pets.tgz"] = WHOLE
    for _ in range(2):
        found = files("pets", tmp_path)
        assert {name: path.read_bytes() for name, path in found.items()} == CONTENTS
    assert home.asked == ["first://pets.tgz"]
    assert kept(tmp_path / "pets") == set(CONTENTS)


def test_a_source_that_fails_leads_to_the_next(home, tmp_path):
    home.answers["second:pets@1#pets-1.tgz"] = WHOLE
    assert set(files("pets", tmp_path)) == set(CONTENTS)
    assert home.asked == ["first://pets.tgz", "second:pets@1#pets-1.tgz"]
    assert kept(tmp_path / "pets") == set(CONTENTS)


@pytest.mark.parametrize("bad", [WHOLE[:-20], b"<html>moved</html>", b""])
def test_a_corrupt_download_is_refused_and_not_kept(home, tmp_path, bad):
    home.answers["first://pets.tgz"] = bad
    assert "first://pets.tgz (" in refusal(tmp_path)
    assert kept(tmp_path / "pets") == set()
    home.answers["second:pets@1#pets-1.tgz"] = WHOLE
    assert set(files("pets", tmp_path)) == set(CONTENTS)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({**CONTENTS, "test": b"other bytes"}, "its test has another SHA-256"),
        ({"train": CONTENTS["train"]}, "test not in it"),
    ],
)
def test_what_is_inside_is_checked_too(home, tmp_path, monkeypatch, contents, reason):
    packed = tarball(contents)
    monkeypatch.setitem(mirrors.MIRRORS, "pets", (Mirror({"first://pets.tgz": sha256(packed)}, FILES),))
    home.answers["first://pets.tgz"] = packed
    assert reason in refusal(tmp_path)
    assert "test" not in kept(tmp_path / "pets")


def test_the_error_names_file_sources_and_remedy_in_one_line(home, tmp_path):
    home.answers["first://pets.tgz"] = OSError("no\nconnection")
    message = refusal(tmp_path)
    assert "\n" not in message
    for part in (
        "pets: train missing, test missing",
        "first://pets.tgz (no connection); second:pets@1 (no connection)",
        "--fetch",
        f"put pets.tgz (sha256 {sha256(WHOLE)}) into {tmp_path / 'pets'}",
    ):
        assert part in message


def test_a_file_that_rots_is_fetched_again_or_named(home, tmp_path):
    home.answers["first://pets.tgz"] = WHOLE
    path = files("pets", tmp_path)["test"]
    path.write_bytes(b"fewer bytes")
    assert files("pets", tmp_path)["test"].read_bytes() == CONTENTS["test"]
    path.write_bytes(b"fewer bytes")
    home.answers.clear()
    message = refusal(tmp_path)
    assert "test corrupt" in message and "train" not in message.split(";")[0]


def test_a_download_put_there_by_hand_is_used_and_left(home, tmp_path):
    (tmp_path / "pets").mkdir()
    placed = tmp_path / "pets" / "pets.tgz"
    placed.write_bytes(WHOLE[:-1])
    assert "pets.tgz corrupt" in refusal(tmp_path)
    home.asked.clear()
    placed.write_bytes(WHOLE)
    assert set(files("pets", tmp_path)) == set(CONTENTS)
    assert home.asked == []
    assert placed.read_bytes() == WHOLE


def test_what_a_killed_process_left_is_never_read(home, tmp_path):
    home.answers["first://pets.tgz"] = WHOLE
    (tmp_path / "pets" / ".partial").mkdir(parents=True)
    (tmp_path / "pets" / ".partial" / "pets.tgz").write_bytes(WHOLE[:50])
    (tmp_path / "pets" / "train").write_bytes(CONTENTS["train"][:50])
    assert files("pets", tmp_path)["train"].read_bytes() == CONTENTS["train"]
    assert kept(tmp_path / "pets") == set(CONTENTS)


def test_a_folder_that_cannot_be_written(home, tmp_path):
    (tmp_path / "pets").write_text("a file in its place")
    assert refusal(tmp_path).startswith(f"pets: cannot write to {tmp_path / 'pets'}")


def test_a_full_disk_ends_the_search_and_is_named(home, tmp_path):
    """Another source would meet it too; the next call goes on when there is room."""
    home.answers["first://pets.tgz"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(NoSpace, match=rf"^no space left on .* for {tmp_path / 'pets' / 'pets.tgz'}$"):
        files("pets", tmp_path)
    assert home.asked == ["first://pets.tgz"] and kept(tmp_path / "pets") == set()
    home.answers["first://pets.tgz"] = WHOLE
    assert set(files("pets", tmp_path)) == set(CONTENTS)


def test_a_read_only_folder_that_is_complete_is_neither_locked_nor_written_to(home, tmp_path, monkeypatch):
    home.answers["first://pets.tgz"] = WHOLE
    files("pets", tmp_path)

    def refused(*args: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(mirrors, "locked", refused)
    assert set(files("pets", tmp_path)) == set(CONTENTS)
    (tmp_path / "pets" / "test").write_bytes(b"other")
    assert "Read-only file system" in refusal(tmp_path)


def _slow(url: str, output_file: str, pooch: object) -> None:
    with (Path(os.environ["PETS_LOG"])).open("a") as log:
        log.write(f"{url}\n")
    with open(output_file, "wb") as file:
        for start in range(0, len(WHOLE), 100):
            file.write(WHOLE[start : start + 100])
            file.flush()
            time.sleep(0.5 * 100 / len(WHOLE))


def _ask(data_dir: Path, barrier: object) -> bool:
    barrier.wait()  # type: ignore[attr-defined]
    return {name: path.read_bytes() for name, path in files("pets", data_dir).items()} == CONTENTS


def _worker(data_dir: Path, barrier: object, answers: object) -> None:
    answers.put(_ask(data_dir, barrier))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_processes_that_ask_at_once_download_once(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PETS_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(mirrors, "DOWNLOADERS", {"first": _slow})
    fork = multiprocessing.get_context("fork")
    barrier, answers = fork.Barrier(3), fork.Queue()
    workers = [fork.Process(target=_worker, args=(tmp_path, barrier, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=30) for _ in workers] == [True] * 3
    for worker in workers:
        worker.join()
    assert (tmp_path / "log").read_text() == "first://pets.tgz\n"


def test_fetch_says_a_line_a_name_and_adds_the_extractors_weights(home, tmp_path, monkeypatch):
    home.answers["first://pets.tgz"] = WHOLE
    home.answers["first://net.pth"] = b"weights"
    net = Mirror({"first://net.pth": sha256(b"weights")}, {"net.pth": sha256(b"weights")})
    monkeypatch.setitem(mirrors.MIRRORS, "net", (net,))

    def pets(data_dir: Path) -> Dataset:
        files("pets", data_dir)
        images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
        return Dataset("pets", "1", images, images[:1], levels=256, extractor="net")

    def plain(data_dir: Path) -> Dataset:
        return Dataset("plain", "1", torch.zeros(4, 2), torch.zeros(2, 2))

    datasets.load()
    for builder in (pets, plain):
        monkeypatch.setitem(datasets._entries, builder.__name__, builder)
    folder, weights = tmp_path / "pets", tmp_path / "net"
    assert list(fetch(components("pets", "plain"), tmp_path)) == [
        f"pets: 3 + 1 samples, fetched from first://pets.tgz to {folder}",
        "plain: 4 + 2 samples, nothing of its own to fetch",
        f"net: weights, fetched from first://net.pth to {weights}",
    ]
    assert list(fetch(components("pets"), tmp_path)) == [
        f"pets: 3 + 1 samples, already in {folder}",
        f"net: weights, already in {weights}",
    ]
    with pytest.raises(UsageError, match="unknown dataset 'pet'"):
        list(fetch(components("pet"), tmp_path))


def _deb(folder: Path) -> bytes:
    (folder / "tree/DEBIAN").mkdir(parents=True)
    (folder / "tree/DEBIAN/control").write_text(
        "Package: pets\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: pets\n"
    )
    (folder / "tree/usr/share/pets").mkdir(parents=True)
    for name, data in CONTENTS.items():
        (folder / f"tree/usr/share/pets/{name}.gz").write_bytes(gzip.compress(data))
    subprocess.run(["dpkg-deb", "-b", str(folder / "tree"), str(folder / "pets.deb")], check=True, capture_output=True)
    return (folder / "pets.deb").read_bytes()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb")
def test_a_debian_package_is_opened(tmp_path):
    (tmp_path / "pets.deb").write_bytes(_deb(tmp_path))
    downloads.unpack(tmp_path / "pets.deb", FILES, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == CONTENTS


def test_a_zipped_file_is_unzipped(tmp_path):
    (tmp_path / "test.gz").write_bytes(gzip.compress(CONTENTS["test"]))
    downloads.unpack(tmp_path / "test.gz", FILES, tmp_path / "out")
    assert (tmp_path / "out" / "test").read_bytes() == CONTENTS["test"]


def _client(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (_client("import sys; sys.exit('notice: x\\nnpm ERR! code E404\\nsee the log')"), "npm ERR! code E404"),
        (_client("import sys; sys.exit('something else\\nbroke')"), "broke"),
        (_client("import sys; sys.exit(3)"), "exit code 3"),
        (_client("open('other.tgz', 'w')"), "exit code 0"),
        (("no-such-client",), "no-such-client is not installed"),
    ],
)
def test_why_a_client_failed_is_told_in_short(tmp_path, monkeypatch, command, reason):
    monkeypatch.setitem(downloads.CLIENTS, "npm", command)
    with pytest.raises(OSError) as caught:
        downloads.from_client("npm:pets@1#pets-1.tgz", str(tmp_path / "out"), None)
    assert str(caught.value) == reason
    assert list(tmp_path.iterdir()) == []


def test_a_client_is_given_the_package_and_its_file_is_taken(tmp_path, monkeypatch):
    monkeypatch.setitem(downloads.CLIENTS, "npm", _client("import sys; open('pets-1.tgz', 'w').write(sys.argv[1])"))
    downloads.from_client("npm:pets@1#pets-1.tgz", str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_text() == "pets@1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("broken", ["ConnectTimeout", "ReadTimeout", "ConnectionError"])
def test_a_web_server_that_does_not_answer(tmp_path, monkeypatch, broken):
    import requests

    def get(*_: object, **options: object) -> Callable[[], None]:
        assert options["timeout"] == (downloads.TIMEOUT, downloads.READ_TIMEOUT)
        raise getattr(requests, broken)("HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded")

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(OSError, match=r"^no (answer in time|connection)$"):
        downloads.from_web("https://example.org/pets.tgz", str(tmp_path / "out"), None)


def test_every_source_of_the_table_can_be_asked_and_is_checked():
    for alternatives in mirrors.MIRRORS.values():
        assert alternatives[0].downloads.keys() and all(url.startswith("http") for url in alternatives[0].downloads)
        for source in alternatives:
            for url, checksum in source.downloads.items():
                assert url.partition(":")[0] in downloads.DOWNLOADERS
                assert len(checksum) == 64 or (checksum.startswith("md5:") and len(checksum) == 36)
            assert all(len(checksum) == 64 for checksum in source.files.values())
