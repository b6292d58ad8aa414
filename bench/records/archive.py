"""One compressed file that holds the records of a suite, to be passed on: a tar of plan.json, claims.json and runs/.

Records are in it as they were written, and arrays of the lowest seed of each variant alone, of all datasets or of some,
those of two axes and more at float16. The same records give the same bytes. An archive is unpacked to be read, whole or
not at all, and only files by the names that an archive can hold leave it.
"""

import io
import lzma
import re
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.registry import unknown
from bench.config.settings import STAGES
from bench.errors import UsageError, one_line
from bench.papers.claims import REMEMBERED
from bench.records.files import write_bytes
from bench.records.planned import marked, read_about
from bench.records.records import run_folder
from bench.records.seal import json_bytes, read_arrays, read_json, write_arrays
from bench.records.stored import stored

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".tar.xz"
LARGEST = 2**32  # bytes that an archive may take unpacked
_NAME = re.compile(
    rf"plan\.json|{re.escape(REMEMBERED)}|runs/[A-Za-z0-9_+=][A-Za-z0-9._+=-]*/({'|'.join(STAGES)})\.(json|npz)"
)


@dataclass
class Records:
    """What an archive is made of.

    Attributes:
        stages: the record at each (run_id, stage), and the folder of results that it was found in.
        notes: what was left out or decided on the way.
    """

    about: str = ""
    plan: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[tuple[str, str], tuple[dict[str, Any], Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gathered(root: Path) -> Records:
    """The sound records in a folder of one suite; those that are not sound are noted."""
    runs, complaint = stored(root)
    plan = {run.entry["run_id"]: run.entry for run in runs if run.entry}
    found = Records(read_about(root), plan, notes=[complaint] if complaint else [])
    try:
        claims = read_json(root / REMEMBERED).get("claims") or []
        found.claims = {str(claim.get("id")): claim for claim in claims if isinstance(claim, dict)}
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        found.notes.append(f"left out: {root / REMEMBERED}: {error}")
    for run in runs:
        for stage, record in run.records().items():
            if "run_id" in record:
                found.stages[record["run_id"], stage] = (record, root)
            else:
                found.notes.append(f"left out: {record['error']}")
    return found


def merged(into: Records, other: Records) -> Records:
    """Both together: of two records of one stage the finished one, of two finished ones the newer.

    What one plan asks for anew in a cell of the other is not current there: the first of the two plans counts.
    """
    stages, notes = dict(into.stages), [*into.notes, *other.notes]
    for (run_id, stage), theirs in other.stages.items():
        ours = stages.setdefault((run_id, stage), theirs)
        if ours[0].get("digest") != theirs[0].get("digest"):
            newer = max(ours, theirs, key=lambda found: (found[0]["status"] == "ok", found[0].get("finished") or ""))
            stages[run_id, stage] = newer
            notes.append(f"{run_id} {stage} twice with other content: took that of {newer[0].get('finished')}")
    plan: dict[str, dict[str, Any]] = {}
    for run_id in dict.fromkeys([*into.plan, *other.plan]):
        both = [plan_[run_id] for plan_ in (into.plan, other.plan) if run_id in plan_]
        plan[run_id] = next((entry for entry in both if _answered(entry, stages)), both[0])
    first = {entry["variant"] for entry in into.plan.values() if entry.get("current") is not False}
    plan = {entry["run_id"]: entry for entry in marked(plan.values(), first)}
    claims = {**other.claims, **into.claims}
    notes += [f"claim {i} twice: took the first" for i in into.claims if other.claims.get(i, claims[i]) != claims[i]]
    return Records(into.about or other.about, plan, claims, stages, notes)


def _answered(entry: Mapping[str, Any], stages: Mapping[tuple[str, str], tuple[dict[str, Any], Path]]) -> bool:
    """Whether the records of a run are those that a plan's entry asks for."""
    asked = (entry.get("asked") or {}).items()
    found = [(stages.get((entry["run_id"], stage)), fingerprint) for stage, fingerprint in asked]
    return all(record is None or record[0]["fingerprint"] == fingerprint for record, fingerprint in found)


def pack(records: Records, path: Path, drawn: Collection[str] | None = None) -> None:
    """Write the archive, with arrays of the datasets `drawn` (default: all); those that are not sound are noted."""
    members: dict[str, bytes] = {}
    for (run_id, stage), (_, root) in records.stages.items():
        name = f"{run_folder(Path(), run_id)}/{stage}.json"
        members[name] = (root / name).read_bytes()
    members["plan.json"] = json_bytes({"about": records.about, "runs": list(records.plan.values())})
    if records.claims:
        members[REMEMBERED] = json_bytes({"claims": list(records.claims.values())})
    members |= _arrays(records, drawn)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name in sorted(members, key=lambda name: (name.endswith(".npz"), name)):  # like beside like packs tighter
            entry = tarfile.TarInfo(name)
            entry.size = len(members[name])
            file.addfile(entry, io.BytesIO(members[name]))
    write_bytes(path, lzma.compress(tar.getvalue()))


def _arrays(records: Records, drawn: Collection[str] | None) -> dict[str, bytes]:
    """The arrays of each stage of each variant: those of its lowest seed that has them."""
    packed: dict[str, bytes] = {}
    seen = set()
    for (run_id, stage), (record, root) in sorted(records.stages.items(), key=lambda item: item[1][0]["seed"]):
        path = run_folder(root, run_id) / f"{stage}.npz"
        left_out = drawn is not None and record["dataset"] not in drawn
        if record["status"] != "ok" or left_out or (record["variant"], stage) in seen or not path.exists():
            continue
        try:
            arrays = {name: halved(values) for name, values in read_arrays(path).items()}
        except (OSError, ValueError) as error:
            records.notes.append(f"left out: {path}: {error}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_arrays(Path(folder) / "arrays.npz", arrays, compressed=False)
            packed[f"{run_folder(Path(), run_id)}/{stage}.npz"] = (Path(folder) / "arrays.npz").read_bytes()
        seen.add((record["variant"], stage))
    return packed


def halved(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Fractions of two axes and more at float16, if none is too large for it; all else as it is."""
    import numpy as np

    if values.dtype.kind != "f" or values.ndim < 2 or values.dtype.itemsize == 2:
        return values
    finite = values[np.isfinite(values)]
    return values if len(finite) and np.abs(finite).max() > np.finfo(np.float16).max else values.astype(np.float16)


def unpack(path: Path, folder: Path) -> None:
    """Write the files of an archive under `folder`; one that is there already must be the same.

    UsageError if it is no archive of records, or damaged, or if the folder holds other records.
    """
    members = dict(_members(path))
    unpacked = {str(file.relative_to(folder)) for file in (folder / "runs").glob("*/*.json")}
    for name in sorted(unpacked | members.keys()):
        file = folder / name
        if name in unpacked - members.keys() or (file.exists() and file.read_bytes() != members[name]):
            raise UsageError(f"{file}: not of {path}, which is unpacked there; move the folder away")
    for name, content in members.items():
        if not (folder / name).exists():
            write_bytes(folder / name, content)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in an archive, once all of it was read and its checksums held."""
    try:
        with lzma.open(path) as packed:
            data = packed.read(LARGEST)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.isreg() else None
                if file is None or not _NAME.fullmatch(entry.name):
                    raise UsageError(f"{path}: no archive of records: it holds {entry.name[:80]!r}")
                yield entry.name, file.read()
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
        raise UsageError(f"{path}: no archive of records, or damaged ({one_line(error)})") from error


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of one suite's records: `path` itself, or that of an archive, which goes afterwards."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="records-") as name:
        for member, content in _members(path):  # plainly: nothing here must outlive a power cut
            file = Path(name) / member
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        yield Path(name)


def write_archive(sources: Sequence[Path], path: Path, drawn: Collection[str] | None = None) -> Records:
    """Archive the records of one or more folders or archives, with arrays of the datasets `drawn`, by default of all.

    What was written. UsageError if there are no records, or none of a dataset that is named.
    """
    with ExitStack() as stack:
        roots = [stack.enter_context(opened(source)) for source in sources]
        records = gathered(roots[0])
        for root in roots[1:]:
            records = merged(records, gathered(root))
        if not records.stages:
            raise UsageError(f"--archive {path}: there are no records in {', '.join(map(str, sources))}")
        datasets = list(dict.fromkeys(str(record.get("dataset")) for record, _ in records.stages.values()))
        for name in drawn or ():
            if name not in datasets:
                raise UsageError(f"--arrays {name}: " + unknown("dataset of these records", name, datasets))
        pack(records, path, drawn)
        for source, root in zip(sources, roots, strict=True):  # an archive is named, not where it was unpacked
            records.notes = [note.replace(str(root), str(source)) for note in records.notes]
    return records


def beside(path: Path) -> Path:
    """The folder that an archive is unpacked to for a report: named like it, beside it."""
    name = path.name.removesuffix(SUFFIX)
    return path.with_name(name if name != path.name else f"{name}-report")
