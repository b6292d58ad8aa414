"""What is said once below a table: how its numbers were had, and what its marks mean."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame

from bench.errors import NOT_APPLICABLE
from bench.report.comparable import EXACT_FIELD, FLOOR, OF_DATA
from bench.report.extract import count, each, listed
from bench.report.grid import ABSENT, Row
from bench.report.sections import Section

AT_FLOOR = "≈"
OF_FLOOR = "Floor: as many fresh data in the place of samples, ± half-width of the 95% interval of one more such set."
REACHED = f"{AT_FLOOR}: not beyond that interval, so not told from data."
HOLDS_0 = "The interval of the floor holds 0, so ≈ says less there:"
OF_EXACT = (
    "Exact field: the velocity of a path in closed form, by the law of the data, ± half-width of the 95% interval over "
    "samples. No training along that path can reach a better one; a model that has less is underfitted."
)
OF_FEWER = "Floor (of fewer): no more data is fresh than so many; as many as the samples would score otherwise."
REPEATED = "Mean of one seed: the interval is that of its repeats of sampling."
HANGING = "A mean NLL with lost points hangs on them and has no interval; the defensive one bounds what each costs."
SAMPLING = (
    "Sampling: half-width of the 95% interval of the mean over the repeats of one seed, which share its training; the "
    "interval before it is over seeds of training and of sampling."
)
FURTHER = "Rows with a further sampler share the weights, and so the likelihood and the training, of the row above."
PUBLISHED = "Published values are the papers' own: other code, seeds and machines"


def caption(section: Section, more: str = "") -> str:
    """How the numbers of a table come from seeds; `more` says of what."""
    over = "Mean ± half-width of the 95% t-interval over seeds"
    return f"{over if section.seeds > 1 else 'One seed, so no interval over seeds'}{more}."


def bold(section: Section) -> str:
    """What the best of a column says."""
    if section.seeds > 1:
        return "Bold: best mean of its column; where intervals overlap the order is not established."
    return "Bold: best of its column; one seed establishes no order."


def is_repeated(cell: Any) -> bool:
    """Whether the interval of a cell is that of the repeats of one seed."""
    return bool(cell.n == 1 and math.isfinite(cell.half_width))


def tells_sampling(section: Section, cell: Any) -> bool:
    """Whether a cell of several seeds says how far the repeats of one stray: of the first metric of quality alone."""
    return bool(cell.n > 1 and math.isfinite(cell.sampling_half) and cell.metric == section.metric("quality"))


def remarks_on(
    section: Section, rows: Sequence[Row], columns: Sequence[Any], cells: DataFrame, batch: str
) -> list[str]:
    entries = [entry for row in rows for entry in row.entries]
    remarks = [caption(section)]
    if any(entry.best for entry in entries):
        remarks.append(bold(section))
    remarks += [REPEATED] if any(map(is_repeated, each(cells[~cells.baseline.isin(OF_DATA)]))) else []
    remarks += [SAMPLING] if any(tells_sampling(section, cell) for cell in each(cells)) else []
    remarks += [OF_FLOOR] if cells.half_width[cells.baseline == FLOOR].notna().any() else []
    if (around := cells[(cells.baseline == FLOOR) & (cells["mean"].abs() < cells.half_width)]).size:
        titles = dict.fromkeys(section.about(name).title for name in around.metric)
        remarks.append(f"{HOLDS_0} {listed(titles)}.")
    remarks += [OF_EXACT] if (cells.baseline == EXACT_FIELD).any() else []
    remarks += [REACHED] if cells.at_floor.any() else []
    remarks += [HANGING] if cells.lost_points.any() else []
    remarks += [OF_FEWER] if cells.of_fewer.any() else []
    dashes = [(row.label, entry.title) for row in rows for entry in row.entries if entry.words == ABSENT]
    unsuitable = dict.fromkeys(dash for dash in dashes if dash[1].startswith(NOT_APPLICABLE))
    if any(dash not in unsuitable for dash in dashes):
        remarks.append(f"{ABSENT}: not measured under the settings of the column.")
    remarks += [f"{ABSENT} of {label}: {reason}." for label, reason in unsuitable]
    if not cells.is_headline[~cells.baseline.isin(OF_DATA)].all():
        remarks.append(FURTHER)
    if own := list(dict.fromkeys(cells.label[cells.own_density])):
        remarks.append(f"Likelihood of {listed(own)}: by the model's own density.")
    remarks += [f"{section.labels[v]}: {made_elsewhere(origin)}." for v, origin in section.elsewhere.items()]
    if batch:
        remarks.append(f"Samples: {batch}.")
    if machines := {column.device: column.machine for column in columns if column.device}:
        named = [f"{device} ({machine})" if machine else device for device, machine in machines.items()]
        remarks.append(f"Seconds and memory: on {listed(named)}.")
    for words in dict.fromkeys(column.words for column in columns if column.words):
        titles = dict.fromkeys(column.about.title for column in columns if column.words == words)
        remarks.append(f"{listed(titles)}: {', '.join(words)}.")
    if sources := list(dict.fromkeys(cells.published_source[cells.published.notna()])):
        differs = "" if section.protocol == "paper" else f", and another protocol than '{section.protocol}'"
        remarks.append(f"{PUBLISHED}{differs}. They are from {listed(sources)}.")
    return remarks


def made_elsewhere(origin: Mapping[str, Any]) -> str:
    """ "made elsewhere (50,000 samples in 1 file, SHA-256 0a1b2c3d4e5f)"."""
    held = f"{origin.get('count', 0):,} samples in {count(origin.get('files', 0), 'file')}"
    return f"made elsewhere ({held}, SHA-256 {origin.get('sha256', '')[:12]})"
