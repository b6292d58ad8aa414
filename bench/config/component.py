"""What a suite names: a registered entry with its options, an extractor with its weights; frozen and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator


def listed(value: Any) -> Any:
    """One value where several may stand."""
    return value if isinstance(value, (list, tuple)) else [value]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Frozen):
    """A registered name with its options; written as a plain name where there are none."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "options" not in value and "name" in value:
            return {"name": value["name"], "options": {k: v for k, v in value.items() if k != "name"}}
        return value


class NamedExtractor(Component):
    """An extractor of features, and the whole path of the file of its weights where the suite names one."""

    @field_validator("options")
    @classmethod
    def _whole_path(cls, options: dict[str, Any]) -> dict[str, Any]:
        if foreign := sorted(options.keys() - {"weights"}):
            raise ValueError(f"option {foreign[0]!r}: allowed: weights")
        if not isinstance(options.get("weights", ""), str):
            raise ValueError(f"weights = {options['weights']!r}: expected the path of a file")
        return {key: str(Path(path).expanduser().resolve()) for key, path in options.items()}

    @property
    def weights(self) -> str | None:
        return self.options.get("weights")
