"""Getting one download and opening it: the web and package clients as pooch downloaders, archives as streams.

A pooch downloader is called with (url, path to write, pooch). A package's URL is `CLIENT:PACKAGE#FILE`, where FILE is
what the client writes; nothing of a package is ever run.
"""

import errno
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from bench.launch.surroundings import environment
from bench.records.files import write_atomic

TIMEOUT = 5  # seconds until a server must have answered; on a node without a network all mirrors fail soon
READ_TIMEOUT = 30
CLIENTS = {
    "npm": ("npm", "pack", "--ignore-scripts", "--loglevel=error", "--fetch-retries=0", "--cache=cache"),
    "apt": ("apt-get", "download", "-qq", "-o=Acquire::Retries=0", f"-o=Acquire::http::Timeout={READ_TIMEOUT}"),
    "pip": (
        *(sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:", "--no-cache-dir"),
        *("--retries=0", f"--timeout={READ_TIMEOUT}"),
    ),
}


def file_of(url: str) -> str:
    """Name of the file that a URL or a package gives."""
    return re.split("[/#]", url)[-1]


def from_web(url: str, output_file: str, pooch: Any) -> None:
    """Download over HTTP; OSError with a short text where there is no connection."""
    import requests
    from pooch import HTTPDownloader

    try:
        HTTPDownloader(timeout=(TIMEOUT, READ_TIMEOUT))(url, output_file, pooch)
    except requests.Timeout as error:
        raise OSError("no answer in time") from error
    except requests.ConnectionError as error:
        raise OSError("no connection") from error


def from_client(url: str, output_file: str, pooch: Any) -> None:
    """Download a package with its client; OSError with the client's own words where it fails."""
    client, _, rest = url.partition(":")
    package, _, file = rest.partition("#")
    with tempfile.TemporaryDirectory(dir=Path(output_file).parent) as folder:
        try:
            done = subprocess.run(
                (*CLIENTS[client], package),
                cwd=folder,
                env=environment(),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError:
            raise OSError(f"{CLIENTS[client][0]} is not installed") from None
        written = Path(folder) / file
        if done.returncode or not written.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            if "no space left" in done.stderr.lower():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), output_file)
            raise OSError(next((line for line in lines if re.match("npm err|error|e:", line, re.I)), lines[-1]))
        written.replace(output_file)


Downloader = Callable[[str, str, Any], None]
DOWNLOADERS: dict[str, Downloader] = {"https": from_web, "http": from_web, **dict.fromkeys(CLIENTS, from_client)}


def unpack(download: Path, files: Mapping[str, str], folder: Path) -> None:
    """Write those members of a download that `files` names into `folder`; ValueError for another SHA-256."""
    for path, stream in _members(download):
        name = Path(path).name
        if name.endswith(".gz"):
            name, stream = name.removesuffix(".gz"), cast(IO[bytes], gzip.GzipFile(fileobj=stream))
        if name in files:
            write_atomic(folder / name, partial(_copy, stream, name, files[name]))


def _copy(stream: IO[bytes], name: str, sha256: str, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError(f"its {name} has another SHA-256")


def _members(download: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Paths and contents of the files in an archive; a file that is no archive is its own only member."""
    if download.suffix == ".deb":
        command = ("dpkg-deb", "--fsys-tarfile", str(download))
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as archive,
        ):
            yield from _tar_members(archive)
    elif download.name.endswith((".tgz", ".tar.gz")):
        with tarfile.open(download, "r|gz") as archive:
            yield from _tar_members(archive)
    else:
        with download.open("rb") as stream:
            yield download.name, stream


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive:
        if stream := archive.extractfile(member) if member.isfile() else None:
            yield member.name, stream
