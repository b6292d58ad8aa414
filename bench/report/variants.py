"""What variants are called: their label, and the settings that differ where several share it.

A variant is a configuration without its seed. Several share a label if a suite asks for a method under two settings,
or if the folder holds runs of settings that the plan no longer has. They are told apart by what differs between them
("lr = 0.01"), and so are two settings of one dataset. A method that is alone on one dataset of a suite is called by
what tells it apart on the others, so that one label means one thing over the suite.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pandas import DataFrame

Config = Mapping[str, Any]
SUITE = ["suite", "protocol", "dataset"]
# Parts of a configuration that no label tells.
ELSEWHERE = {"suite", "protocol", "seed", "dataset", "evaluation", "extractors_sha256"}
FILES = {"weights_sha256": ("training", "weights"), "teacher_sha256": ("baseline", "options", "teacher")}
DIGITS = 8  # of a file's SHA-256 in a label
SILENT = {"training.checkpoint_seconds"}  # part of no variant
MOST = 3  # settings in a name, unless it takes more to tell variants apart
UNKNOWN = "settings not recorded"


def named(frame: DataFrame, configs: Mapping[str, Config]) -> DataFrame:
    """The frame with `setting`, what tells its dataset from others of its name, and labels that differ in a section."""
    variants = frame.drop_duplicates("variant").set_index("variant")
    known = {variant: configs[variant] for variant in variants.index if variant in configs}
    datasets = {variant: {"dataset": config.get("dataset")} for variant, config in known.items()}
    others = {variant: _others(config) for variant, config in known.items()}
    variants["setting"] = _told(variants, SUITE, datasets)
    told = _told(variants, [*SUITE, "setting", "label"], others, UNKNOWN)
    alone = _alone(variants, others)
    told = [alone.get(variant, name) for variant, name in zip(variants.index, told, strict=True)]
    variants["label"] = [", ".join(filter(None, names)) for names in zip(variants.label, told, strict=True)]
    again = variants.groupby([*SUITE, "setting", "current", "label"]).cumcount()  # nothing that is recorded differs
    variants["label"] = [f"{label} ({i + 1})" if i else label for label, i in zip(variants.label, again, strict=True)]
    return frame.assign(setting=frame.variant.map(variants.setting), label=frame.variant.map(variants.label))


def _others(config: Config) -> Config:
    """What a label may tell, a file by a few digits of its SHA-256, as its path is a machine's own."""
    shown: Config = {key: value for key, value in config.items() if key not in {*FILES, *ELSEWHERE}}
    for key, place in FILES.items():
        if digest := config.get(key):
            shown = _put(shown, place, str(digest)[:DIGITS])
    return shown


def _put(config: Config, place: Sequence[str], value: str) -> Config:
    head, *rest = place
    return {**config, head: _put(config.get(head) or {}, rest, value) if rest else value}


def _told(variants: DataFrame, scope: list[str], configs: Mapping[str, Config], unknown: str = "") -> list[str]:
    """What tells each variant from others of its scope: current ones from each other, earlier ones from all."""
    found: dict[str, str] = {}
    for _, alike in variants.groupby(scope, sort=False):
        for names in (alike.index, alike.index[alike.current.astype(bool)]):
            found |= differences({variant: configs.get(variant) for variant in names}, unknown)
    return [found[variant] for variant in variants.index]


def _alone(variants: DataFrame, configs: Mapping[str, Config]) -> dict[str, str]:
    """Of current variants that are the only one of their label on a dataset: what tells those of it apart elsewhere."""
    found: dict[str, str] = {}
    for _, alike in variants[variants.current.astype(bool)].groupby(["suite", "protocol", "label"], sort=False):
        on = [[v for v in rows.index if v in configs] for _, rows in alike.groupby(["dataset", "setting"], sort=False)]
        keys = [
            key for names in on if len(names) > 1 for key in _differing([dict(settings(configs[v])) for v in names])
        ]
        keys = list(dict.fromkeys(keys))
        found |= {
            v: _words(dict(settings(configs[v])), keys) for names in on if keys and len(names) == 1 for v in names
        }
    return found


def differences(configs: Mapping[str, Config | None], unknown: str = "") -> dict[str, str]:
    """What tells each configuration from the others: "lr = 0.01, width = 32", "" for equal ones, `unknown` for None."""
    known = {name: dict(settings(config)) for name, config in configs.items() if config is not None}
    differing = _differing(list(known.values()))
    found = {name: _words(flat, differing) for name, flat in known.items()}
    strange = [name for name, config in configs.items() if config is None]
    if len(configs) > 1:
        found |= {name: f"{unknown} {i}" if unknown and strange[1:] else unknown for i, name in enumerate(strange, 1)}
    return {name: found.get(name, "") for name in configs}


def apart(variant: str, others: Sequence[str], configs: Mapping[str, Config]) -> str:
    """What tells a variant from others: "coupling = exact"; "" if its settings are not recorded."""
    return differences({name: _others(configs[name]) for name in (*others, variant) if name in configs}).get(
        variant, ""
    )


def _differing(known: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys by which configurations are told apart."""
    keys = list(dict.fromkeys(key for flat in known for key in flat if key not in SILENT))
    differing = [key for key in keys if len({flat.get(key) for flat in known}) > 1]
    return differing if len(differing) <= MOST else _fewest(differing, known)


def _words(flat: Mapping[str, str], keys: Sequence[str]) -> str:
    short = _short(keys)
    return ", ".join(f"{short[key]} = {flat[key]}" if key in flat else f"default {short[key]}" for key in keys)


def _fewest(keys: Sequence[str], known: Sequence[Mapping[str, str]]) -> list[str]:
    """MOST of the keys, and more only until all configurations are told apart that can be."""
    needed: list[str] = []
    apart = 1
    for key in keys:
        if (found := len({tuple(flat.get(k) for k in [*needed, key]) for flat in known})) > apart:
            needed, apart = [*needed, key], found
    more = [key for key in keys if key not in needed][: max(0, MOST - len(needed))]
    return [key for key in keys if key in needed or key in more]


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
