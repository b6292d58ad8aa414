"""What records and plans hold: their fields, with the type and the range of each.

Fields of a newer version that are not known here are kept as they are: what changes the meaning of the others changes
SCHEMA.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from bench.config.settings import Stage

# Records of the schema before are read as today's (`modern` in bench/records/measurement.py).
SCHEMA = 3

LARGE = 2**63
STRICT = ConfigDict(strict=True, extra="allow")
Name = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Whole = Annotated[int, Field(gt=-LARGE, lt=LARGE)]
Count = Annotated[int, Field(ge=0, lt=LARGE)]


@with_config(STRICT)
class Row(TypedDict):
    """A measurement. A NaN may stand where a number with a fraction may, as a measurement can give one."""

    metric: Name
    value: float
    stderr: float | None
    n: Count | None
    seconds: float | None
    settings: dict[str, Any]
    reason: NotRequired[str | None]
    place: NotRequired[dict[str, float]]
    title: NotRequired[Name]
    unit: NotRequired[str]
    direction: NotRequired[Literal["lower", "higher", ""]]
    group: NotRequired[str]
    meaning: NotRequired[str]


class Identity(TypedDict):
    run_id: Name
    variant: Name
    suite: Name
    protocol: Name
    dataset: Name
    network: Name
    baseline: Name
    seed: Whole
    global_batch: Count
    tuning: NotRequired[Literal["", "trial", "tuned", "untuned"]]


class Input(TypedDict):
    """A file that was read for a run: bytes, time of change in ns."""

    size: Count
    mtime: Whole
    sha256: Name


class Outdated(TypedDict):
    """A record that is stale: when it was finished, and why."""

    finished: str
    reason: str


@with_config(STRICT)
class Record(Identity):
    """One stage of one run."""

    digest: NotRequired[str]
    schema: Literal[2, 3]
    stage: Name
    status: Literal["ok", "failed"]
    fingerprint: Name
    measurements: list[Row]
    error: NotRequired[str | None]
    label: NotRequired[Name | None]
    dataset_version: NotRequired[Name | None]
    dataset_checksum: NotRequired[Name | None]
    given: NotRequired[bool | None]
    device: NotRequired[Name | None]
    commit: NotRequired[Name | None]
    parameters: NotRequired[Count | None]
    steps: NotRequired[Count | None]
    device_count: NotRequired[Count | None]
    versions: NotRequired[dict[str, str] | None]
    options: NotRequired[dict[str, Any] | None]
    config: NotRequired[dict[str, Any] | None]
    finished: NotRequired[str | None]
    code: NotRequired[Name | None]
    sources: NotRequired[dict[str, str] | None]
    plugins: NotRequired[dict[str, str] | None]
    inputs: NotRequired[dict[str, Input] | None]
    vouched: NotRequired[list[Name] | None]
    again: NotRequired[bool | None]
    curve: NotRequired[Name | None]
    elsewhere: NotRequired[dict[str, Any] | None]
    tuned: NotRequired[dict[str, Any] | None]


@with_config(STRICT)
class Entry(Identity):
    """One run of a plan."""

    label: Name
    stages: list[Stage]
    steps: NotRequired[Count | None]
    current: NotRequired[bool | None]
    asked: NotRequired[dict[str, Any] | None]
    curve: NotRequired[Name | None]
    outdated: NotRequired[dict[str, Outdated] | None]
    elsewhere: NotRequired[dict[str, Any] | None]


@with_config(STRICT)
class Plan(TypedDict):
    digest: NotRequired[str]
    about: NotRequired[str]
    runs: list[Any]
