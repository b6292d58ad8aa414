"""Weights that were trained elsewhere: the files that a suite names, and the digests that they are known by.

Those of `training.weights` are one of

FILE      a run's checkpoint.pt, a state_dict that torch has saved, a .safetensors, a file that --export wrote
FOLDER    a diffusers pipeline: unet/config.json, unet/diffusion_pytorch_model.*, scheduler/scheduler_config.json
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.config.settings import Samples
from bench.errors import UsageError
from bench.identity import inputs

TENSORS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


def files(weights: Path) -> list[Path]:
    """The file itself; of a pipeline's folder the network's configuration, its tensors and the scheduler's.

    Older folders have all three at their top. UsageError if one of them is not there.
    """
    if weights.is_file():
        return [weights]
    if not weights.is_dir():
        raise UsageError(f"there is no file or folder {weights}")
    unet, scheduler = (part if (part := weights / name).is_dir() else weights for name in ("unet", "scheduler"))
    tensors = next((unet / name for name in TENSORS if (unet / name).is_file()), unet / TENSORS[0])
    found = [unet / "config.json", tensors, scheduler / "scheduler_config.json"]
    if lacking := [path for path in found if not path.is_file()]:
        raise UsageError(f"{weights}: a folder is one that a diffusers pipeline saved; there is no {lacking[0]}")
    return found


def digest(sha256s: Sequence[str]) -> str:
    """SHA-256 of all files by those of each, in the order of `files`; of one file its own."""
    return sha256s[0] if len(sha256s) == 1 else hashlib.sha256(" ".join(sha256s).encode()).hexdigest()


def of_extractors(samples: Samples | None, digests: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of the files of the weights of extractors, by the extractor's name.

    Of those that are not there `digests` may have it, by whole path; the rest is left out.
    """
    named = {by.name: by.weights for by in (samples and samples.extractors) or () if by.weights}
    known = dict(digests or {})
    known |= {path: inputs.sha256(path) for path in named.values() if Path(path).is_file()}
    return {name: known[path] for name, path in named.items() if path in known}


def located(weights: str) -> tuple[str, str]:
    """The whole path, and the digest of what lies there; UsageError if that is nothing to load."""
    path = Path(weights).expanduser().resolve()
    return str(path), digest([inputs.sha256(str(file)) for file in files(path)])


def located_file(path: str) -> tuple[str, str]:
    """The whole path of one file and its digest; UsageError if there is none."""
    whole = Path(path).expanduser().resolve()
    if not whole.is_file():
        raise UsageError(f"there is no file {whole}")
    return str(whole), inputs.sha256(str(whole))


def remembered(path: str, digests: Mapping[str, str]) -> tuple[str, str] | None:
    """The whole path and the digest of what is not there any more, by whole paths that were known.

    A relative path may have been of another folder or machine: it is the one file known whose path ends like it.
    """
    if (whole := str(Path(path).expanduser().resolve())) in digests:
        return whole, digests[whole]
    end = tuple(part for part in Path(path).parts if part not in ("~", ".."))
    alike = [] if Path(path).is_absolute() else [p for p in digests if Path(p).parts[-len(end) :] == end]
    return (alike[-1], digests[alike[-1]]) if len({digests[p] for p in alike}) == 1 else None
