"""Checkpoints: all that a run in training consists of, as tensors, numbers and strings, in one file written atomically.

Nothing in it depends on the number of ranks. An unreadable file is set aside and training begins again; a readable one
of another configuration is refused and left as it is.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench import ranks
from bench.errors import UsageError
from bench.files import write_atomic
from bench.optimiser import moments, restore_moments
from bench.records import Measurement

if TYPE_CHECKING:
    from bench.training import Trainer

Report = Callable[[str], None]
KEYS = frozenset(
    (
        *("identity", "step", "seconds", "loss", "recent", "recent_steps", "nfe", "peak", "curve"),
        *("validated", "module", "average", "optimizer"),
    )
)


def state(trainer: "Trainer") -> dict[str, Any]:
    """What a checkpoint holds; all ranks must ask."""
    return {
        "identity": trainer.identity,
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
        "average": trainer.average,
        "optimizer": moments(trainer.optimizer),
    }


def save(trainer: "Trainer", path: Path) -> None:
    """Write the checkpoint; all ranks must take part."""
    content = state(trainer)
    if ranks.is_main():
        write_atomic(path, lambda temporary: torch.save(content, temporary))


def restore(trainer: "Trainer", path: Path, report: Report) -> bool:
    """Go on from the checkpoint at `path`, if there is one; whether there was.

    Raises:
        UsageError: it belongs to another configuration.
    """
    if not any(ranks.agreed(path.exists())):
        return False
    reason, content = "", {}
    try:
        # Mapped, so that of the moments no rank reads more than it keeps.
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        if lacking := KEYS - content.keys():
            raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever a truncated or foreign file makes torch raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    if any(ranks.agreed(bool(reason))):
        aside = path.with_suffix(".corrupt")
        if ranks.is_main():
            path.replace(aside)
        report(f"checkpoint {path.name} cannot be used ({reason}); kept as {aside.name}, training begins again")
        return False
    identity = content["identity"]
    if identity != trainer.identity:
        raise UsageError(f"{path}: a checkpoint of {identity}, not of {trainer.identity}; move it away to train anew")
    trainer.module.load_state_dict(content["module"])
    with torch.no_grad():
        for mine, stored in zip(trainer.average, content["average"], strict=True):
            mine.copy_(stored)
    restore_moments(trainer.optimizer, content["optimizer"])
    trainer.step, trainer.seconds, trainer.loss = content["step"], content["seconds"], content["loss"]
    trainer.recent.copy_(content["recent"])
    trainer.recent_steps, trainer.validated = content["recent_steps"], content["validated"]
    trainer.nfe_before, trainer.peak = content["nfe"], content["peak"]
    trainer.curve = [Measurement(**m) for m in json.loads(content["curve"])]
    report(f"resumed at step {trainer.step}")
    return True
