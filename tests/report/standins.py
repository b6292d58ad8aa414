"""A page with everything on it, from small stand-ins: no verdict is computed and no figure drawn."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from synthetic import LABELS

from bench.papers.claims import Claim
from bench.records.frame import read_frame
from bench.report.decisions import Tails, Word
from bench.report.grid import Entry, Grid, Header, Row
from bench.report.mean_effect import Effect
from bench.report.overview import overviews
from bench.report.page import page
from bench.report.pictures import Picture
from bench.report.sections import sections
from bench.report.tables import Table, table
from bench.report.verdicts import Verdict

CONFIG = {"seed": 0, "training": {"lr": 0.001, "clip": None, "compile": False}, "sweep": {"nfe": [4, 8]}}


def run_ids(dataset: str, *baselines: str) -> tuple[str, ...]:
    """The runs of `synthetic` on a dataset."""
    seeds, digest = (range(3), "3f2a9c") if dataset == "checkerboard" else (range(1), "81d0e4")
    return tuple(f"{dataset}-{baseline}-{digest}-s{seed}" for baseline in baselines for seed in seeds)


def effect(mean: float, low: float, high: float, scale: Literal["difference", "ratio"] = "difference") -> Effect:
    return Effect("FM w/ OT", "DDPM", scale, "nats", mean, low, high, 3)


def against(dataset: str, other: str, low: float, high: float) -> Effect:
    fixed: dict[str, Any] = {"scale": "difference", "unit": "nats", "pairs": 3, "p_values": Tails(0.002, 0.998)}
    mean, runs = (low + high) / 2, run_ids(dataset, "fm_ot", other)
    return Effect("FM w/ OT", LABELS[other], mean=mean, low=low, high=high, run_ids=runs, **fixed)


def verdict(claim: Claim, word: Word, dataset: str = "", effects: tuple[Effect, ...] = (), **said: Any) -> Verdict:
    summary, protocol = said.get("summary", "Lower by 0.04 nats."), said.get("protocol", "small")
    return Verdict(claim, "quick", protocol, dataset, word, summary, effects, said.get("parts", ()))


def verdicts() -> list[Verdict]:
    """Three claims: two on both datasets, one without data and without caveat."""

    def claim(name: str, title: str) -> Claim:
        return Claim(id=name, title=title, source="table 1", subject="fm_ot", against="ddpm")

    likelihood, speed = claim("C1", "FM w/ OT has the lowest NLL of the five"), claim("C3", "Fewest evaluations")
    points = (against("checkerboard", "ddpm", -0.05, -0.03), against("checkerboard", "fm_diffusion", -0.2, 0.1))
    ratio = replace(points[0], scale="ratio", mean=2.0, low=1.5, high=3.0)
    best = claim("C2", "FM w/ OT has the best FID of the five")
    nll = (
        verdict(likelihood, "supported", "checkerboard", points),
        verdict(likelihood, "tied", "digits", (against("digits", "ddpm", -0.1, 0.1),)),
    )
    nfe = (verdict(speed, "contradicted", "checkerboard", (ratio,)),)
    shared = "Datasets share seeds"
    return [
        replace(verdict(likelihood, "supported", parts=nll), doubt=shared),
        replace(verdict(speed, "contradicted", summary="Needs 1.2 times as many.", parts=nfe), doubt=shared),
        verdict(best, "undecided", summary="No FID.", protocol="paper"),
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
    rows = [Row(name, LABELS[name], "", (Entry(value=x, form="g"),)) for name, x in (("ddpm", 3.12), ("fm_ot", 2.99))]
    return Grid("Table 1", "quality", (Header("Bits/dim", published=True),), tuple(rows), ("The paper's own.",))


def html(root: Path, **more: Any) -> str:
    """The page on the suite of `synthetic.write_suite`."""
    frame = read_frame(root)
    parts = sections(frame)
    variants = {variant: CONFIG for part in parts for variant in part.labels}
    tables = [_sourced(table(part)) for part in parts]
    return page(
        "a synthetic suite",
        frame,
        tables,
        verdicts(),
        [published()],
        pictures(),
        variants,
        [],
        [one.grid() for one in overviews(parts)],
        **more,
    )


def _sourced(made: Table) -> Table:
    """The table with the runs behind every entry."""

    def sourced(row: Row) -> Row:
        runs = run_ids(made.section.dataset, row.baseline)
        return replace(row, entries=tuple(replace(entry, runs=runs) for entry in row.entries))

    return replace(made, grids=tuple(replace(grid, rows=tuple(map(sourced, grid.rows))) for grid in made.grids))
