"""Checkpoints: all that a run in training consists of, as tensors, numbers and strings, in one sealed file.

    checkpoint.pt, checkpoint.previous.pt        the last one and the one before

Nothing in it depends on the number of ranks. What is not finite is never saved. A damaged file is set aside, and the
one before takes its place; a sound one of another configuration is refused and left as it is.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from bench.errors import UsageError
from bench.records.records import Measurement
from bench.records.seal import check, write_sealed
from bench.training import ranks
from bench.training.optimiser import moments, restore_moments
from bench.training.state import TrainingState

T = TypeVar("T")
OTHERS = ("it is of older", "it is of another")  # how the reason begins why a sound one is not gone on from
OF = ("identity", "code", "curve_code")  # attributes of a run that say which run and which source it is of
PROGRESS = ("step", "seconds", "loss", "recent_steps", "peak", "validated")  # those that are put back as they are
KEYS = frozenset((*OF, *PROGRESS, "data", "recent", "nfe", "curve", "module", "average", "optimizer"))


def state(run: TrainingState) -> dict[str, Any]:
    """What a checkpoint holds; all ranks must ask."""
    first, *others = map(moments, run.optimizers)
    return {
        **{name: getattr(run, name) for name in (*OF, *PROGRESS)},
        "data": run.dataset.checksum,
        "teachers": run.teachers,
        "tuned": json.dumps(run.tuned),
        "recent": run.recent,
        "nfe": run.evaluations(),
        "stacked": run.stacked,
        "curve": json.dumps([asdict(m) for m in run.curve]),
        "module": run.module.state_dict(),
        "buffers": run.buffers.unsaved(),
        "average": run.average.tensors,
        "best": run.best and run.best.state(),
        "optimizer": first,
        "other_optimizers": others,
        "clippings": [clipping.numbers for clipping in run.clippings],
    }


def look(run: TrainingState) -> None:
    """Diverged if the loss since the last look at it, a weight or an averaged one is not finite; all ranks must ask."""
    loss = float(run.recent)
    weights = _finite((*_trained(run, run.parameters), *_trained(run, run.average.tensors)))
    loss_lost, weights_lost = ranks.agreed(not math.isfinite(loss), not weights)
    if loss_lost or weights_lost:
        raise run.diverged(f"the loss is {loss}" if loss_lost else "the weights are not finite")


def _trained(run: TrainingState, items: Iterable[T]) -> list[T]:
    """Of items by parameter those of what is trained; a frozen one may be a mask of infinities."""
    return [item for item, own in zip(items, run.parameters, strict=False) if own.requires_grad]


def _finite(tensors: Iterable[Tensor]) -> bool:
    found = [torch.isfinite(tensor).all() for tensor in tensors]
    return bool(torch.stack(found).all()) if found else True  # the device is waited for once


def save(run: TrainingState, path: Path) -> None:
    """Write the checkpoint and keep the one before, of an earlier step; all ranks must take part."""
    content = tree_map(_own, state(run))
    if ranks.is_main():
        new = path.with_suffix(".new" + path.suffix)
        write_sealed(new, lambda temporary: torch.save(content, temporary))
        if path.exists() and run.saved != run.step:
            path.replace(previous(path))
        new.replace(path)
    run.saved = run.step


def _own(value: Any) -> Any:
    """A tensor without the rest of what it is a view of, which would be saved with it."""
    part = isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.nbytes
    return value.clone() if part else value


def previous(path: Path) -> Path:
    """The checkpoint before the one at `path`."""
    return path.with_suffix(".previous" + path.suffix)


def restore(run: TrainingState, path: Path, log: Callable[[str], None]) -> bool:
    """Go on from the checkpoint at `path` or, if that is damaged or missing, from the one before; whether there was.

    All ranks go by the same one. UsageError if it belongs to another configuration.
    """
    for candidate in (path, previous(path)):
        if not any(ranks.agreed(candidate.exists())):
            continue
        content, reason = _read(candidate, run)
        if not any(ranks.agreed(bool(reason))):
            _load(run, candidate, content)
            log(f"resumed at step {run.step}" + (f" of {candidate.name}" if candidate != path else ""))
            return True
        aside = candidate.with_suffix(".older" if reason.startswith(OTHERS) else ".corrupt")
        if ranks.is_main():
            candidate.replace(aside)
        log(f"checkpoint {candidate.name} cannot be used ({reason or 'by another rank'}); kept as {aside.name}")
    return False


def _read(path: Path, run: TrainingState) -> tuple[dict[str, Any], str]:
    """The content of a checkpoint, and why it cannot be used."""
    content: dict[str, Any] = {}
    try:
        if complaint := check(path):
            raise ValueError(complaint)
        # Mapped, so that of the moments no rank reads more than it keeps.
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        if lacking := KEYS - content.keys():
            raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
        trained = (name for name, own in run.module.named_parameters() if own.requires_grad)
        weights = [content["module"][name] for name in trained if name in content["module"]]
        if not _finite((content["recent"], *weights, *_trained(run, content["average"]))):
            raise ValueError("its loss or its weights are not finite")
        if content["data"] != run.dataset.checksum:
            return {}, f"{OTHERS[0]} data"
        if content.get("teachers", []) != run.teachers:
            return {}, f"{OTHERS[1]} teacher"
        if json.loads(content.get("tuned", "{}")) != run.tuned:
            return {}, f"{OTHERS[1]} choice of what is tuned"
        older = "" not in (content["code"], run.code) and content["code"] != run.code
        if older and run.accepted is not None and content["code"] not in run.accepted:
            return {}, f"{OTHERS[0]} code"
        if len(_moments(content)) != len(run.optimizers):
            return {}, f"{OTHERS[0]} phases"
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever a foreign file makes torch raise
        return {}, f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return content, ""


def _moments(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every optimiser; a checkpoint of before there were several has one."""
    return [content["optimizer"], *content.get("other_optimizers", [])]


def _load(run: TrainingState, path: Path, content: dict[str, Any]) -> None:
    if (identity := content["identity"]) != run.identity:
        raise UsageError(f"{path}: a checkpoint of {identity}, not of {run.identity}; move it away to train anew")
    run.module.load_state_dict(content["module"])
    run.buffers.restore(content.get("buffers", {}))  # which older checkpoints lack
    with torch.no_grad():
        for average, stored in _trained(run, zip(run.average.tensors, content["average"], strict=True)):
            average.copy_(stored)
    if run.best:
        run.best.restore(content["best"])
    for optimizer, stored in zip(run.optimizers, _moments(content), strict=True):
        restore_moments(optimizer, stored)
    for clipping, numbers in zip(run.clippings, content.get("clippings", ()), strict=False):  # which older ones lack
        clipping.numbers.copy_(numbers)
    for name in PROGRESS:
        setattr(run, name, content[name])
    run.recent.copy_(content["recent"])
    run.stacked = content.get("stacked", 1)  # which older ones lack
    run.rows = run.rows_before = round(content["nfe"] * run.settings.batch)
    # Points under another evaluation do not stand on one curve with those to come.
    points = json.loads(content["curve"]) if content["curve_code"] == run.curve_code else []
    run.curve = [Measurement(**m) for m in points]
    run.saved = run.step
