"""The smallest suite that goes through every stage in a second or two, and its head, for suites of other methods."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config.plan import plan
from bench.config.suite import Run, load_suite

HEAD = """
about = "tiny"
protocol = "smoke"
seeds = [0]

[[experiments]]
dataset = { name = "checkerboard", n_train = 256, n_test = 40 }
network = { name = "mlp", width = 8, depth = 1 }
"""
SUITE = (
    HEAD
    + """\
baselines = ["fm_ot", "ddpm"]
training = { steps = 6, batch = 16 }
evaluation.likelihood = { n = 20, batch = 20 }
evaluation.samples = { n = 40, batch = 40, w2_n = 20, path_n = 20, path_times = 5 }
overrides.ddpm = { options.ancestral_steps = 5, options.ddim_steps = 3 }
"""
)


# The least UNet2DModel of grey images.
UNET2D: dict[str, Any] = {
    **{"in_channels": 1, "out_channels": 1, "block_out_channels": [8], "layers_per_block": 1},
    **{"down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"], "norm_num_groups": 4},
}


def write_suite(folder: Path, text: str = SUITE, name: str = "tiny") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def runs(folder: Path, text: str = SUITE, **narrow: Any) -> list[Run]:
    """The planned runs of a suite's text."""
    name, suite = load_suite(str(write_suite(folder, text)))
    return plan(name, suite, **narrow)


def awake(net: nn.Module) -> nn.Module:
    """The network with numbers where it starts at zero."""
    rng = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3, generator=rng)
    return net
