"""Weights that were trained before: of a run, from its checkpoint and the configuration in its record, or of a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bench.config.suite import RUN_ID, Run
from bench.errors import UsageError, one_line
from bench.identity import inputs
from bench.records.records import run_folder, trained
from bench.records.seal import CHANGED, check

Teachers = dict[str, dict[str, Any]]  # the file of each teacher, with its size, time and SHA-256 as it was loaded


def trained_run(root: Path, teacher: str) -> Run | None:
    """The run of that id; None for what is no run's id; UsageError if its training is not there or is stale."""
    if not RUN_ID.fullmatch(teacher):
        return None
    try:
        run, found = trained(root, teacher)
    except ValidationError as error:
        raise UsageError(f"teacher = {teacher}: its record is of an older edition: {one_line(error)[:200]}") from error
    if found.state != "done":
        what = {"missing": "has not ended", "failed": "has failed"}.get(found.state, f"is stale ({found.reason})")
        raise UsageError(f"teacher = {teacher}: its training {what} in {root}; run its baseline first")
    return run


def load(module: nn.Module, root: Path, teacher: str) -> Teachers:
    """Give a module the weights of a run, by its id, or of a file, averaged ones if it is a checkpoint.

    The file, as it was loaded; UsageError if there is none, it is damaged, or what it holds is not for the module.
    """
    path = run_folder(root, teacher) / "checkpoint.pt" if RUN_ID.fullmatch(teacher) else Path(teacher).expanduser()
    if not path.is_file():
        raise UsageError(f"teacher = {teacher}: expected the id of a trained run or a file; there is no {path}")
    if check(path) == CHANGED:
        raise UsageError(f"{path}: {CHANGED}")
    with path.open("rb") as file:
        found = inputs.of_open(file)
        _load(module, path, file)
    return {os.path.abspath(path): found}


def _load(module: nn.Module, path: Path, file: BinaryIO) -> None:
    """Load a checkpoint (bench/training/checkpoint.py) or a state_dict.

    Raises:
        UsageError: it is neither, its tensors are not those of the module, or they are not finite.
    """
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes torch raise
        raise UsageError(f"{path}: it holds no tensors: {one_line(error)[:200]}") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: a {type(content).__name__}; expected a checkpoint or a state_dict")
    is_checkpoint = {"module", "average"} <= content.keys()
    weights = content["module"] if is_checkpoint else content
    try:
        module.load_state_dict(weights)
        if is_checkpoint:
            _average(module, content["average"])
    except Exception as error:
        raise UsageError(f"{path}: not the weights of this network: {one_line(error)[:300]}") from error
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters() if p.requires_grad):
        raise UsageError(f"{path}: its weights are not finite")


@torch.no_grad()
def _average(module: nn.Module, averages: list[Tensor]) -> None:
    """Only what is trained is averaged (bench/training/average.py)."""
    for parameter, average in zip(module.parameters(), averages, strict=True):
        if parameter.requires_grad:
            parameter.copy_(average)
