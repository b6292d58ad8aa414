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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.errors import Diverged, UsageError
from bench.records.records import Measurement
from bench.records.seal import check, write_sealed
from bench.training import ranks
from bench.training.optimiser import moments, restore_moments

if TYPE_CHECKING:
    from bench.training.trainer import Trainer

Report = Callable[[str], None]
OLDER = "it is of older"
KEYS = frozenset(
    (
        *("identity", "code", "curve_code", "data", "step", "seconds", "loss", "recent", "recent_steps", "nfe"),
        *("peak", "curve", "validated", "module", "average", "optimizer"),
    )
)


def state(trainer: "Trainer") -> dict[str, Any]:
    """What a checkpoint holds; all ranks must ask."""
    return {
        "identity": trainer.identity,
        "code": trainer.code,
        "curve_code": trainer.curve_code,
        "data": trainer.dataset.checksum,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "loss": trainer.loss,
        "recent": trainer.recent,
        "recent_steps": trainer.recent_steps,
        "nfe": trainer.evaluations(),
        "peak": trainer.peak,
        "curve": json.dumps([asdict(m) for m in trainer.curve]),
        "validated": trainer.validated,
        "module": trainer.module.state_dict(),
        "buffers": trainer.buffers.unsaved(),
        "average": trainer.average,
        "optimizer": moments(trainer.optimizer),
    }


def look(trainer: "Trainer") -> None:
    """Refuse what is not worth keeping; all ranks must ask.

    Raises:
        Diverged: the loss since the last look at it, a weight or an averaged weight is not finite.
    """
    loss = float(trainer.recent)
    weights = _finite((*_trained(trainer, trainer.parameters), *_trained(trainer, trainer.average)))
    loss_lost, weights_lost = ranks.agreed(not math.isfinite(loss), not weights)
    if loss_lost or weights_lost:
        what = f"the loss is {loss}" if loss_lost else "the weights are not finite"
        raise Diverged(f"{what} at step {trainer.step}; {before(trainer)}")


def before(trainer: "Trainer") -> str:
    """Where a diverged run would go on, for its error."""
    if trainer.saved is None:
        return "no checkpoint is older"
    return f"--retry goes on from the checkpoint of step {trainer.saved}"


def _trained(trainer: "Trainer", tensors: Iterable[Tensor]) -> list[Tensor]:
    """Of tensors by parameter those that are trained; a frozen one may be a mask of infinities."""
    return [tensor for tensor, own in zip(tensors, trainer.parameters, strict=False) if own.requires_grad]


def _finite(tensors: Iterable[Tensor]) -> bool:
    found = [torch.isfinite(tensor).all() for tensor in tensors]
    return bool(torch.stack(found).all()) if found else True  # the device is waited for once


def save(trainer: "Trainer", path: Path) -> None:
    """Write the checkpoint and keep the one before, of an earlier step; all ranks must take part."""
    content = state(trainer)
    if ranks.is_main():
        new = path.with_suffix(".new" + path.suffix)
        write_sealed(new, lambda temporary: torch.save(content, temporary))
        if path.exists() and trainer.saved != trainer.step:
            path.replace(previous(path))
        new.replace(path)
    trainer.saved = trainer.step


def previous(path: Path) -> Path:
    """The checkpoint before the one at `path`."""
    return path.with_suffix(".previous" + path.suffix)


def restore(trainer: "Trainer", path: Path, report: Report) -> bool:
    """Go on from the checkpoint at `path` or, where that is damaged or missing, from the one before; whether there was.

    All ranks go by the same one.

    Raises:
        UsageError: it belongs to another configuration.
    """
    for candidate in (path, previous(path)):
        if not any(ranks.agreed(candidate.exists())):
            continue
        content, reason = _read(candidate, trainer)
        if not any(ranks.agreed(bool(reason))):
            _load(trainer, candidate, content)
            report(f"resumed at step {trainer.step}" + (f" of {candidate.name}" if candidate != path else ""))
            return True
        aside = candidate.with_suffix(".older" if reason.startswith(OLDER) else ".corrupt")
        if ranks.is_main():
            candidate.replace(aside)
        report(f"checkpoint {candidate.name} cannot be used ({reason or 'by another rank'}); kept as {aside.name}")
    return False


def set_aside(path: Path) -> None:
    """Move a checkpoint and the one before it out of the way: what they were trained by has changed."""
    for candidate in (path, previous(path)):
        if candidate.exists():
            candidate.replace(candidate.with_suffix(".older"))


def _read(path: Path, trainer: "Trainer") -> tuple[dict[str, Any], str]:
    """The content of a checkpoint, and why it cannot be used."""
    content: dict[str, Any] = {}
    try:
        if complaint := check(path):
            raise ValueError(complaint)
        # Mapped, so that of the moments no rank reads more than it keeps.
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        if lacking := KEYS - content.keys():
            raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
        trained = (name for name, own in trainer.module.named_parameters() if own.requires_grad)
        weights = [content["module"][name] for name in trained if name in content["module"]]
        if not _finite((content["recent"], *weights, *_trained(trainer, content["average"]))):
            raise ValueError("its loss or its weights are not finite")
        if content["data"] != trainer.dataset.checksum:
            return {}, f"{OLDER} data"
        older = "" not in (content["code"], trainer.code) and content["code"] != trainer.code
        if older and trainer.accepted is not None and content["code"] not in trainer.accepted:
            return {}, f"{OLDER} code"
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever a foreign file makes torch raise
        return {}, f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return content, ""


def _load(trainer: "Trainer", path: Path, content: dict[str, Any]) -> None:
    identity = content["identity"]
    if identity != trainer.identity:
        raise UsageError(f"{path}: a checkpoint of {identity}, not of {trainer.identity}; move it away to train anew")
    trainer.module.load_state_dict(content["module"])
    trainer.buffers.restore(content.get("buffers", {}))  # which older checkpoints lack
    with torch.no_grad():
        for mine, stored in zip(trainer.average, content["average"], strict=True):
            mine.copy_(stored)
    restore_moments(trainer.optimizer, content["optimizer"])
    trainer.step, trainer.seconds, trainer.loss = content["step"], content["seconds"], content["loss"]
    trainer.recent.copy_(content["recent"])
    trainer.recent_steps, trainer.validated = content["recent_steps"], content["validated"]
    trainer.nfe_before, trainer.peak = content["nfe"], content["peak"]
    # Points under another evaluation do not stand on one curve with those to come.
    points = json.loads(content["curve"]) if content["curve_code"] == trainer.curve_code else []
    trainer.curve = [Measurement(**m) for m in points]
    trainer.saved = trainer.step
