"""What a caller asks of a loaded model, as tensors on its device: each mistake has a line of its own."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.config import components
from bench.config.registry import unknown
from bench.config.settings import Likelihood
from bench.config.validated import validated
from bench.datasets.base import Dataset
from bench.errors import UsageError, one_line
from bench.methods.finite import complaint, lost
from bench.training.seeds import generator

OF_LIKELIHOOD = ("solvers", "divergence", "probes", "batch")
MOST = 2**63 - 1


def device_here(device: str) -> str:
    """The device itself; UsageError if it is none of this machine's."""
    try:
        if torch.device(device).type not in ("cpu", "cuda"):
            raise UsageError(f'device = {device!r}: "cpu" or "cuda"')
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(f'device = {device!r}: "cpu", or "cuda" if there is one ({one_line(error)[:100]})') from error
    return device


def whole(name: str, value: Any, least: int = 1, most: int = MOST, why: str = "") -> int:
    """A whole number from `least` to `most`."""
    try:
        found = operator.index(value)
    except TypeError as error:
        raise UsageError(f"{name} = {value!r}: a whole number is needed") from error
    if not least <= found <= most:
        raise UsageError(f"{name} = {found}: from {least} on" + (f", and to {most}{why}" if most < MOST else ""))
    return found


def likelihood(settings: Mapping[str, Any]) -> Likelihood:
    """The settings of `log_prob`, those of OF_LIKELIHOOD."""
    for key in settings.keys() - {*OF_LIKELIHOOD}:
        raise UsageError("log_prob: " + unknown("key", key, list(OF_LIKELIHOOD)))
    found: Likelihood = validated(Likelihood, settings, "log_prob")
    if not found.solvers:
        raise UsageError("log_prob: solvers = []: one is needed")
    return found


def tensor(name: str, value: Any, device: str, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor, an array or nested lists of numbers; `dtype` None keeps theirs."""
    try:
        return torch.as_tensor(value, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        shown = one_line(error)[:150]
        raise UsageError(f"{name}: a tensor, an array or a list of numbers is needed ({shown})") from error


def labels(classes: int | None, value: Any, n: int, seed: int, device: str) -> Tensor | None:
    """The class of each of n samples, int64 (n,), drawn for each of them unless it is said."""
    if classes is None:
        if value is not None:
            raise UsageError(f"labels = {value!r}: the network is told no class; leave them out")
        return None
    if value is None:
        drawn = [torch.randint(classes, (), generator=generator(seed, "labels", i)) for i in range(n)]
        return torch.stack(drawn).to(device)
    found = tensor("labels", value, device)
    fits = not found.is_floating_point() and not found.is_complex() and found.shape in ((), (n,))
    if not fits or not bool(((found >= -1) & (found < classes)).all()):
        raise UsageError(f"labels: one or {n} of the classes 0 to {classes - 1}, -1 is none")
    return found.long().expand(n)


def given(data: Dataset, value: Any, n: int, device: str) -> Tensor | None:
    """What each of n samples is given, float32 (n, ...) in model space; None if the data is given nothing."""
    expected = components.about(data).given
    if expected is None or value is None:
        if expected is None and value is None:
            return None
        allowed = "leave it out" if expected is None else f"one or {n} of shape {expected} are needed"
        raise UsageError(f"given = {'None' if value is None else '...'}: {allowed}")
    found = tensor("given", value, device, torch.float32)
    if found.shape not in (expected, (n, *expected)):
        raise UsageError(f"given: {tuple(found.shape)}; one or {n} of shape {expected} are needed")
    return found.expand(n, *expected)


def state(data: Dataset, value: Any, device: str) -> Tensor:
    """x of a velocity, float32 (n, ...) in model space."""
    found = tensor("x", value, device)
    if not (found.is_floating_point() or not data.is_image):
        raise UsageError("x: pixels; in model space they are model.encode(x)")
    found = found.float()
    if not found.ndim or not len(found) or found.shape[1:] != data.shape:
        needed = ", ".join(["n", *map(str, data.shape)])
        raise UsageError(f"x: {tuple(found.shape)}; ({needed}) in model space is needed")
    return found


def time(value: Any, n: int, end: float, device: str) -> Tensor:
    """One time or n of them in [0, end], float32."""
    found = tensor("t", value, device, torch.float32)
    if found.shape not in ((), (n,)):
        raise UsageError(f"t: {tuple(found.shape)}; one time or {n} are needed")
    if not bool(((found >= 0) & (found <= end)).all()):
        raise UsageError(f"t = {value if found.ndim == 0 else '...'}: from 0 to {end:g}")
    return found


def stored(data: Dataset, value: Any, device: str) -> Tensor:
    """What a dataset would store of x; UsageError if it is none of its samples."""
    found = tensor("x", value, device)
    kind = torch.uint8 if data.is_image else torch.float32
    found = found.to(kind) if not data.is_image else found
    if found.dtype != kind or not found.ndim or not len(found) or found.shape[1:] != data.stored_shape:
        needed = ", ".join(["n", *map(str, data.stored_shape)])
        raise UsageError(f"x: {tuple(found.shape)} {found.dtype}; ({needed}) of {kind} are needed")
    if not data.is_image:
        if text := complaint(lost(found), len(found), "rows"):
            raise UsageError(f"x: {text}")
        return found
    assert data.levels
    levels = (found.float() * ((data.levels - 1) / 255)).round().to(torch.uint8)
    if not torch.equal(data.pixels(levels), found):
        raise UsageError(f"x: pixels of {data.levels} grey levels between 0 and 255 are needed")
    return levels
