"""Table 3 of Lipman et al. 2023, the settings: what the paper prints beside what each variant was trained with.

The paper's column is results/published/table3.toml; a variant's is the configuration in its record. A setting that all
variants share is one line, others name who differs.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.report.cells import PUBLISHED
from bench.report.grid import ABSENT, Entry, Grid, Row
from bench.report.sections import Section, listed

Config = Mapping[str, Any]
NETWORK = (
    "channels",
    "blocks",
    "multiples",
    "heads",
    "head_channels",
    "attention",
    "dropout",
    "width",
    "depth",
    "layers",
)
TRAINING = ("batch", "steps", "seconds", "optimizer", "lr", "decay", "warmup", "precision", "clip", "ema")
PARTS = {"network": NETWORK, "training": TRAINING, "hardware": ("gpus", "epochs")}
REMARK = "Published: table 3 of Lipman et al. 2023; the paper states neither clipping nor an average of the weights."


def recipes(
    sections: Iterable[Section], configs: Mapping[str, Config], folder: Path = PUBLISHED
) -> tuple[list[Grid], list[dict[str, Any]]]:
    """One grid a section, of the settings that its variants or the paper name; and a tidy row a setting and variant.

    Args:
        configs: the configuration of each variant, as its record holds it.
    """
    published = tomllib.loads((folder / "table3.toml").read_text(encoding="utf-8"))
    grids, tidy = [], []
    for section in sections:
        printed = published.get(section.dataset, {})
        known = {variant: configs[variant] for variant in section.labels if variant in configs}
        table = {(part, name): _used(known, part, name) for part, names in PARTS.items() for name in names}
        named = {key: used for key, used in table.items() if key[1] in printed or any(map(_is_set, used.values()))}
        grids.append(_grid(section, named, printed))
        tidy += [
            _tidy(section, variant, name, printed.get(name), value)
            for (_, name), used in named.items()
            for variant, value in used.items()
        ]
    return grids, tidy


def _used(known: Mapping[str, Config], part: str, name: str) -> dict[str, Any]:
    return {variant: _setting(config, part, name) for variant, config in known.items()}


def _is_set(value: Any) -> bool:
    return value is not None


def _grid(section: Section, table: Mapping[tuple[str, str], dict[str, Any]], printed: Mapping[str, Any]) -> Grid:
    rows = []
    for (part, name), used in table.items():
        entries = [Entry(_shared({section.labels[variant]: value for variant, value in used.items()}))]
        if printed:
            same = [_same(value, printed[name]) for value in used.values() if name in printed and value is not None]
            differs = "" if not same else "same" if all(same) else "differs"
            entries = [Entry(_said(printed[name]) if name in printed else ""), *entries, Entry(differs)]
        rows.append(Row(name, name, part, tuple(entries)))
    headers = ("Settings published", "Used here", "Difference") if printed else ("Used here",)
    title = f"Table 3 on {section.name} {section.where}"
    remarks = (REMARK,) if printed else ()
    return Grid(title, "cost", headers, tuple(rows), remarks, ("Setting", "Of"), (section.name,), section.protocol)


def _same(used: Any, printed: Any) -> bool:
    return used != "fp32" if printed == "mixed" else bool(used == printed)


def _tidy(section: Section, variant: str, name: str, printed: Any, used: Any) -> dict[str, Any]:
    """A row with columns of bench.report.paper: numbers as numbers, all else as settings."""
    baseline = section.frame.baseline[section.frame.variant == variant].iloc[0]
    row = {
        "table": "table3", "suite": section.suite, "protocol": section.protocol, "dataset": section.dataset,
        "method": baseline, "label": section.labels[variant], "variant": variant, "metric": name,
        "published_settings": "" if printed is None else _said(printed), "settings": _said(used),
        "run_ids": " ".join(dict.fromkeys(section.frame.run_id[section.frame.variant == variant])),
    }  # fmt: skip
    numbers = {"published": printed, "mean": used}
    row |= {key: value for key, value in numbers.items() if isinstance(value, int | float)}
    if len(row.keys() & numbers.keys()) == 2 and section.protocol != "smoke":
        row["difference"] = used - printed
    return row


def _setting(config: Config, part: str, name: str) -> Any:
    if part == "network":
        return config["network"]["options"].get(name)
    return config["training"].get(name) if part == "training" else None


def _shared(used: Mapping[str, Any]) -> str:
    """ "4000; OT-CFM 2000; FFJORD and RNODE 300": what most have, then the others."""
    groups: dict[str, list[str]] = {}
    for label, value in used.items():
        groups.setdefault(_said(value), []).append(label)
    most, *others = sorted(groups.items(), key=lambda group: -len(group[1])) or [(ABSENT, [])]
    return "; ".join([most[0], *(f"{listed(labels)} {value}" for value, labels in others)])


def _said(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
