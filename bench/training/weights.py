"""Weights of a file, put into a module that was built for them: a teacher's, and those of `training.weights`.

checkpoint.pt     of a run (bench/training/checkpoint.py): the averaged weights, where it has them
.safetensors      named tensors, as --export writes them
any other file    a state_dict that torch has saved
a folder          for a network that reads it: its module has load_folder(folder, model), as that of
                  bench/networks/diffusers_unet.py has
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import elsewhere
from bench.errors import UsageError, one_line
from bench.identity.inputs import of_open
from bench.records.seal import CHANGED, check
from bench.training.buffers import Buffers

Files = dict[str, dict[str, Any]]  # by path, each with its size, time and SHA-256 as it was loaded


def load(module: nn.Module, path: Path) -> Files:
    """Put the weights of a file, or of a folder, into a module, and say what was read.

    UsageError if it holds no weights, they are not those of the module, or not finite.
    """
    if path.is_file():
        read = _load_file(module, path)
    else:
        read = {str(file): _described(file) for file in elsewhere.files(path)}
        take: Any = getattr(module, "load_folder", None)
        if take is None:
            raise UsageError(f"{path}: a folder is for a network that reads it, diffusers_unet, alone")
        take(path)
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters() if p.requires_grad):
        raise UsageError(f"{path}: its weights are not finite")
    return read


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return of_open(file)


def _load_file(module: nn.Module, path: Path) -> Files:
    if check(path) == CHANGED:
        raise UsageError(f"{path}: {CHANGED}")
    with path.open("rb") as file:
        described, content = of_open(file), read(path, file)
    is_checkpoint = {"module", "average"} <= content.keys()
    tensors = content["module"] if is_checkpoint else content
    try:
        buffers = Buffers(module, 1)
        unsaved = buffers.unsaved().keys() & tensors.keys()
        module.load_state_dict({name: value for name, value in tensors.items() if name not in unsaved})
        if is_checkpoint:
            buffers.restore(content.get("buffers", {}))  # which older ones lack
            for parameter, average in zip(module.parameters(), content["average"], strict=True):
                if parameter.requires_grad:  # of a frozen one there is no average
                    parameter.data.copy_(average)
        buffers.restore({name: tensors[name] for name in unsaved})
    except Exception as error:
        raise UsageError(f"{path}: not the weights of this network: {one_line(error)[:300]}") from error
    return {str(path.absolute()): described}


def read(path: Path, file: Any) -> Mapping[str, Any]:
    """What a file of tensors holds, by name; UsageError if it is none."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes them raise
        raise UsageError(f"{path}: it holds no tensors: {one_line(error)[:200]}") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: a {type(content).__name__}; expected a checkpoint or a state_dict")
    return content


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """All that `load` needs to make an equal module: parameters and buffers by name, those too that no state_dict has.

    UsageError for a state that is no tensor.
    """
    found = {**module.state_dict(), **Buffers(module, 1).unsaved()}
    if odd := [name for name, value in found.items() if not isinstance(value, Tensor)]:
        raise UsageError(f"{odd[0]}: a {type(found[odd[0]]).__name__}; a file of weights holds tensors alone")
    return {name: value.detach().cpu().contiguous().clone() for name, value in found.items()}
