"""Splits of data of one's own: those that it has, and what is cut off the end of train for the others.

Train is in a fixed random order by then, so its last rows are a fair sample of it. Test is cut first, from the end.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from torch import Tensor

from bench.errors import UsageError

MOST = 2**53  # samples, beyond which no float is a count
TEST = 0.1  # share of train, where the data has no test split and says no other


def _amount(value: Any) -> int | float:
    """A count, or a share of train; 0 is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < 1:
            return value
        if value >= 1 and value == int(min(value, MOST)):
            return int(value)
    raise PydanticCustomError("amount", "a count of 1 or more, or a share between 0 and 1")


Amount = Annotated[int | float, BeforeValidator(_amount)]


def cut(
    name: str, arrays: Mapping[str, Tensor], test: Amount | None, validation: Amount
) -> tuple[dict[str, Tensor], str]:
    """The arrays ("train", "train_labels", ...) with a test split, and a validation split unless that is 0.

    A number of 1 or more is a count, one below it a share of what train was; also what the version says of the cuts.
    UsageError for a split that is there already, one of nothing, or one that leaves nothing.
    """
    found, note, n = dict(arrays), "", len(arrays["train"])
    for split, wanted in (("test", test), ("validation", validation)):
        if (wanted is None and split in arrays) or (not wanted and split == "validation"):
            continue
        wanted = TEST if wanted is None else wanted
        if split in arrays:
            raise UsageError(f"dataset {name}: {split} = {wanted}: the data has a {split} split of its own")
        left, count = len(found["train"]), round(wanted * n if 0 < wanted < 1 else wanted)
        if not 0 < count < left:
            takes = f"a count, or a share below 1, of 1 to {left - 1} samples" if left > 1 else "train has one sample"
            raise UsageError(f"dataset {name}: {split} = {wanted}: {count} of {n} samples; {takes}")
        for array in ("train", "train_labels"):
            if array in found:
                found[array.replace("train", split)] = found[array][left - count :]
                found[array] = found[array][: left - count]
        note += f"-{split}{wanted}"
    return found, note
