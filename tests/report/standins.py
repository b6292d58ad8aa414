"""A page with everything on it, from small stand-ins: no verdict is computed and no figure drawn."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from synthetic import LABELS

from bench import records
from bench.report.cells import headline
from bench.report.page import page
from bench.report.pictures import Picture
from bench.report.sections import sections
from bench.report.tables import Entry, Grid, Row, Table, table

CAVEAT = "At the small protocol: budgets are far below the paper's."
CONFIG = {"seed": 0, "training": {"lr": 0.001, "clip": None, "compile": False}, "sweep": {"nfe": [4, 8]}}


@dataclass(frozen=True)
class Claim:
    id: str
    title: str
    source: str = "Lipman et al. 2023, table 1"


@dataclass(frozen=True)
class Effect:
    comparison: str
    mean: float
    low: float
    high: float
    run_ids: tuple[str, ...] = ()
    scale: str = "difference"
    text: str = "-0.04 [-0.05, -0.03] nats"
    pairs: int = 3
    p: float = 0.004


@dataclass(frozen=True)
class Verdict:
    claim: Claim
    word: str
    dataset: str = ""
    effects: tuple[Effect, ...] = ()
    caveat: str = CAVEAT
    suite: str = "quick"
    protocol: str = "small"
    summary: str = "Lower by 0.04 nats."


def run_ids(dataset: str, *baselines: str) -> tuple[str, ...]:
    """The runs of `synthetic` on a dataset."""
    seeds, digest = (range(3), "3f2a9c") if dataset == "checkerboard" else (range(1), "81d0e4")
    return tuple(f"{dataset}-{baseline}-{digest}-s{seed}" for baseline in baselines for seed in seeds)


def against(dataset: str, other: str, low: float, high: float) -> Effect:
    comparison = f"FM w/ OT against {LABELS[other]}"
    return Effect(comparison, (low + high) / 2, low, high, run_ids(dataset, "fm_ot", other))


def verdicts() -> list[Verdict]:
    """Three claims: two on both datasets, one without data and without caveat."""
    likelihood, speed = Claim("C1", "FM w/ OT has the lowest NLL of the five"), Claim("C3", "Fewest evaluations")
    points = (against("checkerboard", "ddpm", -0.05, -0.03), against("checkerboard", "fm_diffusion", -0.2, 0.1))
    return [
        Verdict(likelihood, "supported"),
        Verdict(likelihood, "supported", "checkerboard", points),
        Verdict(likelihood, "undecided", "digits", (against("digits", "ddpm", -0.1, 0.1),)),
        Verdict(speed, "contradicted", summary="Needs 1.2 times as many."),
        Verdict(speed, "contradicted", "checkerboard", (replace(points[0], scale="ratio", mean=2, low=1.5, high=3),)),
        Verdict(Claim("C2", "FM w/ OT has the best FID of the five"), "undecided", caveat="", summary="No FID."),
    ]


def pictures() -> list[Picture]:
    """Two of each dataset, told apart by their colour."""
    made = []
    for place, name in enumerate(["checkerboard_a", "checkerboard_b", "digits_a", "digits_b"]):
        buffer = io.BytesIO()
        Image.new("RGB", (1500, 750), (40 * place, 60, 90)).save(buffer, "PNG")
        made.append(Picture(name, name[:-2], f"Statement {place}", f"Reading {place}.", buffer.getvalue()))
    return made


def published() -> Grid:
    rows = [Row(name, LABELS[name], "", (Entry(text),)) for name, text in (("ddpm", "3.12"), ("fm_ot", "2.99"))]
    return Grid("Table 1", "quality", ("Bits/dim published",), tuple(rows), ("The paper's own.",))


def html(root: Path) -> str:
    """The page on the suite of `synthetic.write_suite`."""
    frame = records.frame(root)
    parts, cells = sections(frame), headline(frame)
    variants = {variant: CONFIG for part in parts for variant in part.labels}
    tables = [_sourced(table(part, cells)) for part in parts]
    return page("a synthetic suite", frame, tables, verdicts(), [published()], pictures(), variants, [])


def _sourced(made: Table) -> Table:
    """The table with the runs behind every entry."""

    def sourced(row: Row) -> Row:
        runs = run_ids(made.section.dataset, row.baseline)
        return replace(row, entries=tuple(replace(entry, runs=runs) for entry in row.entries))

    return replace(made, grids=tuple(replace(grid, rows=tuple(map(sourced, grid.rows))) for grid in made.grids))
