"""TOML as people's editors and hands leave it: with a byte-order mark, or with numbers that no 64 bits hold."""

import tomllib
from pathlib import Path
from typing import Any


class NotToml(ValueError):
    """A text that is no TOML; any other ValueError of this module is about a value that is none of ours."""


def read(path: Path) -> dict[str, Any]:
    """The tables of a UTF-8 file; OSError if it cannot be read, ValueError for what is wrong with it, in one line."""
    return parse(path.read_bytes().decode("utf-8-sig"))


def parse(text: str) -> dict[str, Any]:
    """The tables of a text; NotToml if it is none, ValueError for a number beyond 64 bits, or nested too deeply."""
    try:
        tables = tomllib.loads(text)
        _check(tables)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise NotToml(error) from error
    except ValueError as error:
        if "digits" in str(error):  # Python's own limit
            raise ValueError("a whole number of more digits than 64 bits hold") from None
        raise
    return tables


def _check(value: Any) -> None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number of more digits than 64 bits hold")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(inner)
