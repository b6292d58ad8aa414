"""A whole report, every figure, table, verdict and the page: suite toys' reference with seeds added.

That of 512 runs is compared with one section after another in one process; that of 2,048 with what it may take. A
headless browser opens the page of 2,048 and that of the reference as it is, from their files.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from compare import Row, compare, seconds, share

from bench.records.archive import unpack
from bench.records.seal import read_json, write_json

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "toys.tar.xz"
MEASURED = 5  # seeds of the reference, which those after them repeat
BUILD = """
import os, resource, sys
from pathlib import Path
from bench.report.build import build
if sys.argv[2] == "alone":
    os.cpu_count = lambda: 1
build(Path(sys.argv[1]))
of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
print(sum(resource.getrusage(who).ru_maxrss for who in of) / 1024)
"""
TIMES = """async () => {
    const [opened] = performance.getEntriesByType("navigation");
    const painted = () => performance.getEntriesByName("first-paint")[0];
    while (!painted() || !opened.loadEventEnd) await new Promise(done => setTimeout(done, 20));
    return [painted().startTime, opened.loadEventEnd];
}"""


def write(root: Path, seeds: int) -> int:
    """Copy the reference's records, and repeat them as those of further seeds; returns the number of runs."""
    unpack(REFERENCE, root)
    plan = read_json(root / "plan.json")
    for entry in list(plan["runs"]):
        paths = list((root / "runs" / entry["run_id"]).glob("*.json"))
        read = {path.name: read_json(path) for path in paths}
        for seed in range(entry["seed"] + MEASURED, seeds, MEASURED):
            run_id = f"{entry['variant']}-s{seed}"
            plan["runs"].append({**entry, "seed": seed, "run_id": run_id})
            (root / "runs" / run_id).mkdir()
            for name, record in read.items():
                write_json(root / "runs" / run_id / name, {**record, "seed": seed, "run_id": run_id})
    write_json(root / "plan.json", plan)
    return len(plan["runs"])


def build(root: Path, how: str) -> float:
    """Build the report in a process of its own; peak MiB of it and its largest child together."""
    command = [sys.executable, "-c", BUILD, str(root), how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def loads(large: Path, reference: Path, rounds: int) -> Iterator[Row]:
    """Milliseconds from navigation to first paint and to the end of the load event, each page in a context of its own.

    The first load of each page is not counted: it is the browser's own start, too.
    """
    names = [f"page of 2,048 runs over the reference's, {until}" for until in ("first paint", "load event")]
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program, why = None, "needs the PyPI package playwright"
    else:
        why = "needs chromium"
    if program is None:
        yield from (Row(name, note=why) for name in names)
        return
    sides = [root / "report.html" for root in (large, reference)]
    taken: list[list[tuple[float, float]]] = [[], []]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for i in range(rounds + 1):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
                    page = context.new_page()
                    page.goto(sides[side].as_uri())
                    taken[side].append(page.evaluate(TIMES))
        sizes = " and ".join(f"{path.stat().st_size / 1e6:.1f} MB" for path in sides)
        note = f"pages of {sizes}, from their files; chromium {browser.version}, headless"
        browser.close()
    for place, name in enumerate(names):
        ours, theirs = (tuple(times[place] for times in side[1:]) for side in taken)
        yield Row(name, "ms", ours, theirs, note=note)


def rows(rounds: int, data_dir: Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        runs, memory = write(root, 8), build(root, "together")
        note = f"{runs} runs, peak {memory:.0f} MiB"
        sides = (lambda: build(root, "together")), (lambda: build(root, "alone"))
        yield compare("report of 512 runs over one process", *sides, rounds, note=note)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        runs, peaks = write(root, 32), list[float]()
        taken = tuple(seconds(lambda: peaks.append(build(root, "together"))) for _ in range(min(rounds, 2)))
        note = f"{runs} runs, measured {len(taken)} times"
        yield share("report of 2,048 runs", "s", taken, 120, note)
        said = "the command and its largest process together"
        yield share("report of 2,048 runs, memory", "MiB", tuple(peaks), 1536, f"{note}; {said}")
        reference = root / "reference"
        write(reference, MEASURED)
        build(reference, "together")
        yield from loads(root, reference, rounds)
