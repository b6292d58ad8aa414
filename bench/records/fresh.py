"""Whether a report is of what is there now: a file beside it holds a digest of what it was made of."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from bench.config.registry import figures, loaded, papers
from bench.config.settings import STAGES
from bench.identity.reach import reach
from bench.identity.source import PACKAGES, Place, module, refresh
from bench.papers.claims import REMEMBERED
from bench.papers.paper import PUBLISHED
from bench.records.files import write_text
from bench.records.records import UNDERWAY

MARK = ".reported"
RECORDS = (*(f"{stage}.{kind}" for stage in STAGES for kind in ("json", "npz")), UNDERWAY)


def made_of(root: Path) -> str:
    """Digest of all that a report is made of: name, size and time of each record, contents of what arranges them."""
    paths = [root / "plan.json", root / REMEMBERED, *(p for n in RECORDS for p in (root / "runs").glob(f"*/{n}"))]
    found = hashlib.sha256()
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.update(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    for digest in sorted(hashlib.sha256(content).digest() for content in _arranging()):
        found.update(digest)
    return found.hexdigest()


def _arranging() -> Iterator[bytes]:
    """The source of reports, the papers and their numbers, and the plugins, which may add to all of them."""
    report = Path(__file__).parents[1] / "report"
    files = [*PUBLISHED.glob("*"), *(file for paper in papers.values() for file in paper.folder.glob("*"))]
    files += [path for path in report.rglob("*") if path.parent.name != "__pycache__"]
    yield from (path.read_bytes() for path in files if path.is_file())
    refresh()
    yield reach(_of_plugins(), [f"{package}/" for package in PACKAGES]).digest.encode()


def _of_plugins() -> Iterator[Place]:
    """What this process's plugins and the figures of installed packages define: it leads to what they import."""
    modules = [point.module for point in entry_points(group=figures.group)]
    modules += [plugin for plugin in loaded if not plugin.endswith(".py")]
    files = [plugin for plugin in loaded if plugin.endswith(".py")]
    for name in modules:
        with suppress(ImportError):  # of a package that is broken, which the report says itself
            files += [spec.origin] if (spec := find_spec(name)) and spec.origin else []
    for path in (Path(file).resolve() for file in files if file.endswith(".py")):
        yield from ((path, name) for name in module(path).definitions)


def is_fresh(root: Path) -> bool:
    """Whether there is a report, and it is of today's records, plan, claims, papers and figures."""
    try:
        return (root / "report.html").is_file() and (root / MARK).read_text(encoding="utf-8").strip() == made_of(root)
    except OSError:
        return False


def mark(root: Path, digest: str) -> None:
    """Say what the report was made of, by what `made_of` gave before it was begun."""
    write_text(root / MARK, digest + "\n")
