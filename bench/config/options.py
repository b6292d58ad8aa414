"""The options of a component, checked by name and by type against what its builder declares."""

import dataclasses
import inspect
import math
import typing
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from bench.config.registry import Registry, unknown
from bench.config.settings import Component
from bench.config.validated import NO_FLAG, flag_at
from bench.errors import UsageError

# What a network takes only if the method or the data asks for it (bench/networks/inputs.py), and what asks for nothing.
INPUTS: dict[str, Any] = {"second_time": False, "classes": None, "given": (), "time": True, "out": None}
PROVIDED = {"dataset": {"data_dir", "run_seed"}, "network": {"shape", *INPUTS}}  # what the harness passes by itself


def checked_options(registry: Registry[Any], component: Component) -> dict[str, Any]:
    """The component's options in the types its builder declares; UsageError for a wrong name or type."""
    builder, checked = registry[component.name], {}
    names, hints = names_of(registry, component.name), hints_of(builder)
    if not (set(component.options) - set(names)) and (lacking := _needed(builder, names) - set(component.options)):
        raise UsageError(f"{registry.kind} {component.name}: option {min(lacking)} is missing; it has no default")
    for key, value in component.options.items():
        if key not in names:
            raise UsageError(f"{registry.kind} {component.name}: " + unknown("option", key, names))
        try:
            if _has_nan(value):
                raise UsageError(f"{registry.kind} {component.name}: {key} = {value!r}: not a number")
            checked[key] = _adapter(hints.get(key, Any)).validate_python(value)
            if flag_at(value, checked[key], key):
                raise UsageError(f"{registry.kind} {component.name}: {key} = {value!r}: {NO_FLAG}")
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise UsageError(f"{registry.kind} {component.name}: {key} = {value!r}: {message}") from error
    return checked


def names_of(registry: Registry[Any], name: str) -> list[str]:
    """The options of an entry: the fields of a dataclass, or what a function takes beside what the harness passes."""
    builder = registry[name]
    if dataclasses.is_dataclass(builder):
        return [f.name for f in dataclasses.fields(builder) if f.init]
    return [name for name in inspect.signature(builder).parameters if name not in PROVIDED.get(registry.kind, ())]


def hints_of(builder: Any) -> dict[str, Any]:
    """Their types, where these can be told."""
    try:
        return typing.get_type_hints(builder, include_extras=True)
    except (NameError, TypeError):  # imported for type checkers only
        return {}


def _needed(builder: Any, names: list[str]) -> set[str]:
    """The options of a function, whose first parameter the harness passes, that have no default."""
    if dataclasses.is_dataclass(builder):
        return set()
    further = [*inspect.signature(builder).parameters.values()][1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in further if p.name in names and p.default is p.empty and p.kind in named}


def _has_nan(value: Any) -> bool:
    return any(map(_has_nan, value)) if isinstance(value, list) else isinstance(value, float) and math.isnan(value)


def _adapter(hint: Any) -> TypeAdapter[Any]:
    """What checks values of a type; anything passes for a type that pydantic does not know."""
    try:
        return TypeAdapter(hint)
    except PydanticUserError:
        return TypeAdapter(Any)
