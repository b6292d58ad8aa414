"""The settings that papers print beside what each variant was trained with, which its record holds.

A setting that all variants share is one line, others name who differs.
"""

from collections.abc import Collection, Mapping
from typing import Any

from bench.papers.paper import Paper, known
from bench.report.extract import listed
from bench.report.grid import ABSENT, Entry, Grid, Header, Row
from bench.report.sections import Section

Config = Mapping[str, Any]
HEADERS = (Header("Settings published"), Header("Used here"), Header("Difference"))


def recipes(
    section: Section, configs: Mapping[str, Config], placed: Collection[Paper]
) -> tuple[list[Grid], list[dict[str, Any]]]:
    """A grid per paper, and a row per variant with columns of `bench.report.published`.

    Beside tables of the papers `placed` one that has none of them has no place, unless it prints settings of the data.
    """
    grids, tidy = [], []
    for paper in (one for one in known() if one.recipe):
        if placed and paper not in placed and section.dataset not in paper.printed:
            continue
        grid, rows = _recipe(paper, section, {v: configs[v] for v in section.labels if v in configs})
        grids.append(grid)
        tidy += rows
    return grids, tidy


def _recipe(paper: Paper, section: Section, configs: Mapping[str, Config]) -> tuple[Grid, list[dict[str, Any]]]:
    recipe, printed = paper.recipe, paper.printed.get(section.dataset, {})
    assert recipe
    lines, tidy = [], []
    for part, name in [(part, name) for part, names in recipe.settings.items() for name in names]:
        used = {variant: _setting(config, part, name) for variant, config in configs.items()}
        values = [value for value in used.values() if value is not None]
        if name not in printed and not any(values):  # not set, or set to nothing
            continue
        same = {_as_printed(value, printed[name]) for value in values} if name in printed else set()
        differs = "" if not same else "same" if same == {True} else "differs"
        here = _shared({section.labels[variant]: value for variant, value in used.items()})
        words = [_in_words(printed[name]) if name in printed else "", here, differs] if printed else [here]
        lines.append(Row(name, name, part, tuple(map(Entry, words))))
        place = {"paper": paper.folder.name, "table": recipe.name, "metric": name}
        tidy += [place | _tidy(section, variant, printed.get(name), value) for variant, value in used.items()]
    remarks, headers = ((recipe.remark,), HEADERS) if printed else ((), HEADERS[1:2])
    title, about = f"{recipe.title} on {section.name} {section.where}", (("Setting", "Of"), (section.name,))
    return Grid(title, "cost", headers, tuple(lines), remarks, *about, section.protocol), tidy


def _setting(config: Config, part: str, name: str) -> Any:
    if part == "network":
        return config["network"]["options"].get(name)
    settings = config.get(part, {})
    return None if settings.get("weights") else settings.get(name)  # what made them is not known here


def _as_printed(used: Any, printed: Any) -> bool:
    return used != "fp32" if printed == "mixed" else bool(used == printed)


def _tidy(section: Section, variant: str, printed: Any, used: Any) -> dict[str, Any]:
    """Numbers as numbers, all else as settings."""
    rows = section.frame[section.frame.variant == variant]
    row = {
        "suite": section.suite, "protocol": section.protocol, "dataset": section.dataset,
        "method": rows.baseline.iloc[0], "label": section.labels[variant], "variant": variant,
        "published_settings": "" if printed is None else _in_words(printed), "settings": _in_words(used),
        "run_ids": tuple(dict.fromkeys(rows.run_id)),
    }  # fmt: skip
    row |= {key: n for key, n in (("published", printed), ("mean", used)) if isinstance(n, int | float)}
    if "published" in row and "mean" in row and section.protocol != "smoke":
        row["difference"] = used - printed
    return row


def _shared(used: Mapping[str, Any]) -> str:
    """ "4000; A 2000; B and C 300": what most have, then the others."""
    groups: dict[str, list[str]] = {}
    for label, value in used.items():
        groups.setdefault(_in_words(value), []).append(label)
    most, *others = sorted(groups.items(), key=lambda group: -len(group[1])) or [(ABSENT, [])]
    return "; ".join([most[0], *(f"{listed(labels)} {value}" for value, labels in others)])


def _in_words(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
