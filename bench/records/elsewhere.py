"""Samples made elsewhere as a run of a suite: of one stage, "samples", without a network or a training.

A run is of a label on a dataset under a protocol, and has the SHA-256 of its samples in its identity. The plan of the
results folder holds it, whatever the suite asks for: other samples of the same label replace it there.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.config.digests import by_content, digest
from bench.config.names import safe_name
from bench.config.settings import Component, Frozen, Samples, Stage
from bench.identity import identity
from bench.records import standing
from bench.records.measurement import ELSEWHERE, Measurement
from bench.records.reading import read_planned
from bench.records.records import read_stage, record_path, write_record
from bench.records.seal import write_json
from bench.records.standing import Standing

STAGE: Stage = "samples"
PREFIX = "elsewhere-"  # no registered baseline has the name, whatever the label is
OF_DRAWING = {
    "batch",
    "solver",
    "samplers",
    "repeats",
    "path_n",
    "path_times",
    "path_rule",
}  # settings that no score of samples hangs on


class Elsewhere(Frozen):
    """What was made elsewhere: `origin` says from where, with its `sha256`, and `samples` how it is scored."""

    suite: str
    protocol: str
    dataset: Component
    label: str
    origin: dict[str, Any]
    samples: Samples
    extractors_sha256: dict[str, str] = Field(default_factory=dict)  # of their files, by name

    @property
    def baseline(self) -> str:
        return PREFIX + self.label

    @property
    def variant(self) -> str:
        dataset, sha256 = self.dataset.model_dump(exclude_defaults=True), self.origin["sha256"]
        of = {"dataset": dataset, "sha256": sha256, "protocol": self.protocol}
        return f"{safe_name(f'{self.dataset.name}-{self.baseline}')}-{digest(of)}"

    @property
    def run_id(self) -> str:
        return f"{self.variant}-s0"

    @property
    def fingerprint(self) -> str:
        """What a record must quote: other settings of the metrics are another score."""
        settings = self.samples.model_dump(mode="json", exclude_defaults=True, exclude=OF_DRAWING)
        return f"{self.run_id}-{digest(by_content(settings, self.extractors_sha256))}"

    @property
    def identity(self) -> dict[str, Any]:
        """What its record and its plan's entry say it is."""
        return {
            "run_id": self.run_id,
            "variant": self.variant,
            "suite": self.suite,
            "protocol": self.protocol,
            "dataset": self.dataset.name,
            "network": ELSEWHERE,
            "baseline": self.baseline,
            "seed": 0,
            "global_batch": 0,
            "label": self.label,
            "elsewhere": self.origin,
            "config": self.config,
        }

    @property
    def config(self) -> dict[str, Any]:
        """The parts of a run's configuration; those of a model are empty."""
        empty: dict[str, Any] = {"name": ELSEWHERE, "options": {}}
        return {
            "suite": self.suite,
            "protocol": self.protocol,
            "dataset": self.dataset.model_dump(mode="json"),
            "network": empty,
            "baseline": {"name": self.baseline, "options": {"sha256": self.origin["sha256"]}},
            "training": {},
            "evaluation": {STAGE: self.samples.model_dump(mode="json")},
            "seed": 0,
        }

    @property
    def entry(self) -> dict[str, Any]:
        """Its entry in the plan."""
        asked = {"stages": [STAGE], "steps": None, "asked": {STAGE: self.fingerprint}}
        return {**self.identity, **asked, "curve": None, "outdated": {}}

    def write(
        self, root: Path, rows: Iterable[Measurement], facts: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> None:
        code = _code(self.entry)
        described = {"code": code.digest, "sources": code.parts} if code else {}
        said = {"fingerprint": self.fingerprint, **facts, **self.identity, **described}
        write_record(root, STAGE, said, rows, arrays)


def stand(root: Path, entry: Mapping[str, Any]) -> Standing:
    """Where the record of a plan's entry stands."""
    record = read_stage(root, entry["run_id"], STAGE)
    return standing.judged(record, entry["asked"][STAGE], _code(entry), root)


def _code(entry: Mapping[str, Any]) -> identity.Code | None:
    settings = entry["config"]["evaluation"][STAGE]
    extractors = [extractor["name"] for extractor in settings.get("extractors") or ()]
    return identity.code_elsewhere(entry["dataset"], settings.get("metrics"), extractors)


def planned(root: Path) -> dict[str, dict[Stage, Standing]]:
    """Where those stand that the plan of a folder holds as current, by run_id."""
    return {entry["run_id"]: {STAGE: stand(root, entry)} for entry in _current(root)}


def vouch(root: Path) -> int:
    """Have their records of older source count as measured by today's; how many there were."""
    kept = 0
    for entry in _current(root):
        record, code = read_stage(root, entry["run_id"], STAGE), _code(entry)
        if record and code and stand(root, entry).of_older_code:
            vouched = [*(record.get("vouched") or ()), code.digest]
            write_json(record_path(root, entry["run_id"], STAGE), {**record, "vouched": vouched})
            kept += 1
    return kept


def _current(root: Path) -> list[dict[str, Any]]:
    entries = read_planned(root)[0]
    return [entry for entry in entries if entry.get("elsewhere") and entry.get("current") is not False]
