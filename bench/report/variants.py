"""What variants are called: their label, and the settings that differ where several share it.

A variant is a configuration without its seed. Several share a label if a suite asks for a method under two settings,
or if the folder holds runs of settings that the plan no longer has. They are told apart by what differs between them
("lr = 0.01"), and so are two settings of one dataset.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

Config = Mapping[str, Any]
SUITE = ["suite", "protocol", "dataset"]
ELSEWHERE = {"suite", "protocol", "seed", "dataset", "evaluation"}  # parts of a configuration that no label tells
SILENT = {"training.checkpoint_seconds"}  # part of no variant
MOST = 3  # settings in a name, unless it takes more to tell variants apart
UNKNOWN = "settings not recorded"


def named(frame: "DataFrame", configs: Mapping[str, Config]) -> "DataFrame":
    """The frame with `setting`, what tells its dataset from others of its name, and labels that differ in a section.

    Args:
        frame: with SUITE, baseline, variant, label and `current` in every row.
        configs: the configuration of each variant, as a record's "config" has it.
    """
    variants = frame.drop_duplicates("variant").set_index("variant")
    setting = {v: "" for v in variants.index}
    for _, those in variants.groupby(SUITE, sort=False):
        setting |= _told(those, {v: _part(configs, v, "dataset") for v in those.index})
    variants["setting"] = setting
    label = dict(variants.label)
    for _, those in variants.groupby([*SUITE, "setting", "label"], sort=False):
        told = _told(those, {v: _without(configs.get(v), ELSEWHERE) for v in those.index}, unknown=UNKNOWN)
        label |= {v: ", ".join(filter(None, [label[v], said])) for v, said in told.items()}
    variants["label"] = label
    again = variants.groupby([*SUITE, "setting", "current", "label"]).cumcount()  # nothing that is recorded differs
    label |= {v: f"{label[v]} ({i + 1})" for v, i in again.items() if i}
    return frame.assign(setting=frame.variant.map(setting), label=frame.variant.map(label))


def _told(those: "DataFrame", configs: Mapping[str, Config | None], unknown: str = "") -> dict[str, str]:
    """Current variants are told from each other, earlier ones from all."""
    current = [v for v in those.index if those.current[v]]
    found = differences({v: configs[v] for v in those.index}, unknown)
    return found | differences({v: configs[v] for v in current}, unknown)


def _part(configs: Mapping[str, Config], variant: str, part: str) -> Config | None:
    config = configs.get(variant)
    return None if config is None else {part: config.get(part)}


def _without(config: Config | None, parts: Iterable[str]) -> Config | None:
    return None if config is None else {key: value for key, value in config.items() if key not in parts}


def differences(configs: Mapping[str, Config | None], unknown: str = "") -> dict[str, str]:
    """What tells each of several configurations from the others: "lr = 0.01, width = 32"; "" for equal ones.

    Args:
        unknown: what is said of a configuration that is None, with a number where there are several.
    """
    known = {name: dict(settings(config)) for name, config in configs.items() if config is not None}
    keys = list(dict.fromkeys(key for flat in known.values() for key in flat if key not in SILENT))
    differing = [key for key in keys if len({flat.get(key) for flat in known.values()}) > 1]
    if len(differing) > MOST:
        differing = _fewest(differing, list(known.values()))
    short = _short(differing)

    def said(flat: Mapping[str, str], key: str) -> str:
        return f"{short[key]} = {flat[key]}" if key in flat else f"default {short[key]}"

    found = {name: ", ".join(said(flat, key) for key in differing) for name, flat in known.items()}
    strange = [name for name, config in configs.items() if config is None]
    if len(configs) > 1:
        found |= {name: f"{unknown} {i}" if unknown and strange[1:] else unknown for i, name in enumerate(strange, 1)}
    return {name: found.get(name, "") for name in configs}


def _fewest(keys: Sequence[str], known: Sequence[Mapping[str, str]]) -> list[str]:
    """MOST of the keys, and more only until all configurations are told apart that can be."""
    kept: list[str] = []
    there = 1
    for key in keys:
        apart = len({tuple(flat.get(k) for k in [*kept, key]) for flat in known})
        if apart > there:
            kept, there = [*kept, key], apart
    more = [key for key in keys if key not in kept][: max(0, MOST - len(kept))]
    return [key for key in keys if key in kept or key in more]


def _short(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or all of it where others end alike; "network" for "network.name"."""
    plain = {key: key.replace(".options.", ".").removesuffix(".name") for key in keys}
    last = {key: text.rpartition(".")[2] for key, text in plain.items()}
    ends = list(last.values())
    return {key: last[key] if ends.count(last[key]) == 1 else plain[key] for key in keys}


def settings(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a configuration in words, by keys joined with dots: ("training.lr", "0.001"), ("nfe", "4, 8")."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from settings(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list) and any(isinstance(value, Mapping | list) for value in config):
        for place, value in enumerate(config):
            yield from settings(value, f"{key}[{place}]")
    elif isinstance(config, list):
        yield key, ", ".join(map(_value, config)) or "none"
    else:
        yield key, _value(config)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
