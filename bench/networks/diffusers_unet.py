"""diffusers' UNet2DModel by a configuration of its own: as a pipeline's folder has it, whose weights it then takes.

    network = { name = "diffusers_unet", config = "FOLDER/unet/config.json" }
    training = { weights = "FOLDER" }

It is called as its pipelines call it, with k = 1000 (1 - t) - 1: step k of 1000 is the time (k + 1) / 1000 of the
diffusion (bench/samplers/scheduled.py), and between steps k is a fraction. It was trained on the noise of those steps,
alpha^2 = prod (1 - beta_i), which samplers by steps draw with. The continuous path of the ODE has another sigma: by
0.0013 at most, which is 5% of it at k = 0 and 0.4% at k = 100.

A pipeline clips what it predicts of x1 to [-1, 1] if its scheduler says clip_sample; the samplers here never do, nor
has the scheduler's variance_type a say. Its pixels are 2 k / 255 - 1, those here 2 (k + u) / 256 - 1: within 1 / 256.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import elsewhere
from bench.config.registry import register_network
from bench.errors import NotApplicable, UsageError, one_line
from bench.methods.model import Model
from bench.methods.paths import VariancePreserving
from bench.networks.inputs import require, require_images

NAME, STEPS = "diffusers_unet", 1000
SCHEDULE = {  # what a scheduler's configuration must say, or leave out
    "prediction_type": ("epsilon",),
    "num_train_timesteps": (STEPS,),
    "beta_schedule": ("linear",),
    "trained_betas": (None,),
    "rescale_betas_zero_snr": (False, None),
}


class DiffusersUNet(nn.Module):
    """net(t, x): t (B,) in [0, 1] and x (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        answer: Tensor = self.model(x, STEPS * (1 - t) - 1, return_dict=False)[0]
        return answer

    def load_folder(self, folder: Path) -> None:
        """Take the tensors of a pipeline's folder; UsageError unless they are those of this very configuration."""
        from diffusers import UNet2DModel

        config = elsewhere.files(folder)[0]
        try:
            options = {"local_files_only": True, "low_cpu_mem_usage": False, "output_loading_info": True}
            model, told = UNet2DModel.from_pretrained(config.parent, **options)
        except Exception as error:  # whatever a foreign folder makes it raise
            raise UsageError(f"{folder}: no UNet2DModel: {one_line(error)[:200]}") from error
        for key, value in self.model.config.items():
            if not key.startswith("_") and (its := model.config.get(key)) != value and _listed(its) != _listed(value):
                raise UsageError(f"{config}: {key} = {its!r}; network.config has {value!r}")
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if keys := told.get(kind):
                raise UsageError(f"{folder}: not the weights of its {config.name}: {kind} {sorted(map(str, keys))[0]}")
        self.model.load_state_dict(model.state_dict())

    def check_folder(self, folder: Path, model: Model) -> None:
        """UsageError unless the method takes the answer for the noise, on the path of the folder's scheduler."""
        path = elsewhere.files(folder)[2]
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            start, end = (float(config[key]) * STEPS for key in ("beta_start", "beta_end"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: not the configuration of a scheduler: {one_line(error)[:200]}") from error
        for key, allowed in SCHEDULE.items():
            if (value := config.get(key, allowed[0])) not in allowed:
                raise UsageError(f"{path}: {key} = {value!r}; allowed: {allowed[0]!r}")
        found = model.path
        ours = (found.beta_min, found.beta_max) if isinstance(found, VariancePreserving) else None
        if ours is None or not all(map(math.isclose, ours, (start, end))):
            has = f"beta_min = {ours[0]:g}, beta_max = {ours[1]:g}" if ours else f"the path {type(found).__name__}"
            raise UsageError(f"{path}: beta_min = {start:g}, beta_max = {end:g} are needed; the method has {has}")
        in_channels, side = self.model.config.in_channels, 2 ** len(self.model.config.block_out_channels)
        x, t = torch.randn(2, in_channels, side, side, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)
        with torch.no_grad():
            try:
                takes = torch.allclose(model.having("eps")(t, x), self(t.expand(2), x), atol=1e-5)
            except NotApplicable:
                takes = False
        if not takes:
            raise UsageError(
                f"{folder}: its network predicts noise; a method is needed that takes its answer for noise"
            )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _table(config: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(config, str):
        raise UsageError(f"network {NAME}: config = {config!r}: a table, or the path of a .json file that has it")
    return config


def check(shape: tuple[int, ...], config: dict[str, Any] | str) -> None:
    """UsageError for a configuration that is of another class or conditioned, or does not fit the shape."""
    ask, config = partial(require, NAME), _table(config)
    require_images(NAME, shape, len(config.get("block_out_channels") or [1]))
    side = config.get("sample_size")
    sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
    wanted: dict[str, tuple[bool, str]] = {
        "_class_name": (config.get("_class_name", "UNet2DModel") == "UNet2DModel", "UNet2DModel is needed"),
        "in_channels": (config.get("in_channels", 3) == shape[0], f"the data has {shape[0]}"),
        "out_channels": (config.get("out_channels", 3) == shape[0], f"the data has {shape[0]}"),
        "sample_size": (side is None or sides == shape[1:], f"the data has {shape[1:]}"),
        "class_embed_type": (config.get("class_embed_type") is None, "a network without classes is needed"),
        "num_class_embeds": (config.get("num_class_embeds") is None, "a network without classes is needed"),
        "time_embedding_type": (config.get("time_embedding_type", "positional") == "positional", "allowed: positional"),
    }
    for key, (fits, rule) in wanted.items():
        ask(fits, f"config.{key}", config.get(key), rule)


@register_network("diffusers_unet", check=check)
def diffusers_unet(shape: tuple[int, ...], config: dict[str, Any] | str) -> nn.Module:
    """diffusers' UNet2DModel of any configuration, whose weights `training.weights` may name."""
    check(shape, config)
    from diffusers import UNet2DModel

    own = {key: value for key, value in _table(config).items() if not key.startswith("_")}
    try:
        return DiffusersUNet(UNet2DModel(**own))
    except Exception as error:  # whatever a key that it does not know, or a value, makes it raise
        raise UsageError(f"network {NAME}: config: {one_line(error)[:200]}") from error
