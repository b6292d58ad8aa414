"""Whether a report is of the records that are there now: a file beside it holds a digest of what it was made of."""

import hashlib
from pathlib import Path

from bench.config.settings import STAGES
from bench.papers.claims import REMEMBERED
from bench.records.files import write_text

MARK = ".reported"
RECORDS = tuple(f"{stage}.{kind}" for stage in STAGES for kind in ("json", "npz"))


def made_of(root: Path) -> str:
    """Digest of name, size and time of change of all that a report is made of."""
    paths = [root / "plan.json", root / REMEMBERED, *(p for n in RECORDS for p in (root / "runs").glob(f"*/{n}"))]
    found = hashlib.sha256()
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.update(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def is_fresh(root: Path) -> bool:
    """Whether there is a report, and it is of today's records, plan and claims."""
    try:
        return (root / "report.html").is_file() and (root / MARK).read_text(encoding="utf-8").strip() == made_of(root)
    except OSError:
        return False


def mark(root: Path, digest: str) -> None:
    """Say what the report was made of, by what `made_of` gave before it was begun."""
    write_text(root / MARK, digest + "\n")
