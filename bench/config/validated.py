"""Settings checked by their models; what is wrong is a UsageError of one line."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bench.config.registry import unknown
from bench.config.settings import listed
from bench.errors import UsageError

NO_FLAG = "expected a number, neither true nor false"


def validated(model: type[Any], raw: Any, where: str) -> Any:
    """model(**raw), with one complaint of pydantic's as one line that names key, value and what is allowed."""
    try:
        found = model.model_validate(raw)
    except ValidationError as error:
        # A misspelt key comes before the missing one that it was meant to be.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            fields = fields_at(model, first["loc"][:-1])
            raise UsageError(f"{where}: " + unknown("key", str(first["loc"][-1]), fields) + f" (at {key})") from error
        message = first["msg"].removeprefix("Value error, ")
        value = "" if first["type"] in ("missing", "value_error") else f" = {first['input']!r}"
        at = f"{where}: {key}" if key else where
        raise UsageError(f"{at}{value}: {message}") from error
    if flag := flag_at(raw, found):
        raise UsageError(f"{where}: {'.'.join(flag)}: {NO_FLAG}")
    return found


def fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that a validation error's location leads to."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner: list[Any] = [model.model_fields[part].annotation]
            while inner and not (isinstance(inner[0], type) and issubclass(inner[0], BaseModel)):
                inner = [a for i in inner for a in get_args(i)]
            if inner:
                model = inner[0]
    return list(model.model_fields)


def flag_at(value: Any, taken: Any, *path: str) -> tuple[str, ...] | None:
    """Where in a value a flag is that was taken as a number, after the keys `path` to the value; None for nowhere."""
    if isinstance(taken, (list, tuple)):
        inner = [(v, t, *path, f"{i}") for i, (v, t) in enumerate(zip(listed(value), taken, strict=False))]
    elif isinstance(taken, (BaseModel, Mapping)) and isinstance(value, Mapping):
        of = dict(taken)
        inner = [(v, of[key], *path, str(key)) for key, v in value.items() if key in of]
    else:
        return path if isinstance(value, bool) and type(taken) in (int, float) else None
    return next(filter(None, (flag_at(*one) for one in inner)), None)
