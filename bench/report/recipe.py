"""Table 3 of Lipman et al. 2023, the settings: what the paper prints beside what each variant was trained with.

The paper's column is results/published/table3.toml; a variant's is the configuration in its record. A setting that all
variants share is one line, others name who differs.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.report.cells import PUBLISHED
from bench.report.sections import Section, count, listed
from bench.report.tables import ABSENT, Entry, Grid, Row

Config = Mapping[str, Any]
NETWORK = ("channels", "blocks", "multiples", "head_channels", "attention", "dropout", "width", "depth", "layers")
TRAINING = ("batch", "steps", "seconds", "optimizer", "lr", "decay", "warmup", "precision", "clip", "ema")
HARDWARE = ("gpus", "epochs")
REMARK = "Published: table 3 of Lipman et al. 2023; the paper states neither clipping nor an average of the weights."


def recipes(sections: Iterable[Section], configs: Mapping[str, Config], folder: Path = PUBLISHED) -> list[Grid]:
    """One grid a section, of the settings that its variants or the paper name.

    Args:
        configs: the configuration of each variant, as its record holds it.
    """
    published = tomllib.loads((folder / "table3.toml").read_text(encoding="utf-8"))
    return [_grid(section, configs, published.get(section.dataset, {})) for section in sections]


def _grid(section: Section, configs: Mapping[str, Config], printed: Mapping[str, Any]) -> Grid:
    known = {label: configs[variant] for variant, label in section.labels.items() if variant in configs}
    rows = []
    for part, names in (("network", NETWORK), ("training", TRAINING), ("hardware", HARDWARE)):
        for name in names:
            used = {label: _setting(config, part, name) for label, config in known.items()}
            if name in printed or any(value is not None for value in used.values()):
                value = Entry(_said(printed[name]) if name in printed else "")
                rows.append(Row(name, name, part, ((value,) if printed else ()) + (Entry(_shared(used)),)))
    headers = (*(["Published"] if printed else []), "Used here")
    seeds = count(section.seeds, "seed")
    title = f"Table 3 on {section.dataset} (suite {section.suite}, protocol {section.protocol}, {seeds})"
    return Grid(
        title,
        "cost",
        headers,
        tuple(rows),
        (REMARK,) if printed else (),
        ("Setting", "Of"),
        section.dataset,
        section.protocol,
    )


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
