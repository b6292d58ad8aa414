"""Where the steps of a fixed-step method end: times 0 = t_0 < ... < t_N = t_end, with u_i = i / N.

uniform  t_i = t_end u_i
cosine   t_i = t_end (1 - cos(pi u_i)) / 2, dense at both ends
flow     sigma / (alpha + sigma) at t_i is linear in i, as by equal steps on straight lines
logsnr   log(alpha / sigma) at t_i is linear in i                                    (Lu et al., NeurIPS 2022)
karras   sigma / alpha = (s_max^(1/rho) + v_i (s_min^(1/rho) - s_max^(1/rho)))^rho   (Karras et al., NeurIPS 2022)

The last two take the noise s = sigma / alpha of the path from its start to its end, but from S_MAX at most. If it ends
below S_MIN, the N - 1 steps v_i = i / (N - 1) lead to S_MIN and the last one to t_end; else v_i = i / N.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from bench.methods.model import Model
from bench.methods.paths import Path, time_of_level

Grid = Literal["uniform", "cosine", "flow", "logsnr", "karras"]
S_MAX, S_MIN = 80.0, 0.002  # as Karras et al. have them


def ends(grid: Grid, steps: int, rho: float, model: Model, device: torch.device) -> Tensor:
    """t_0 ... t_N of that grid, float64 (steps + 1,); NotApplicable if it is one of noise and the model has no path."""
    shares = torch.linspace(0, 1, steps + 1, dtype=torch.float64, device=device)
    if grid == "uniform":
        return model.t_end * shares
    if grid == "cosine":
        found = model.t_end * (1 - torch.cos(math.pi * shares)) / 2
    else:
        path, power = model.having("path"), rho if grid == "karras" else math.inf
        of_grid = _even(path, model.t_end, steps) if grid == "flow" else levels(path, model.t_end, steps, power)
        found = time_of_level(path, of_grid.to(device), model.t_end)
    found[0], found[-1] = 0.0, model.t_end
    return found


def mixed(path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
    """The share q = sigma / (alpha + sigma) of the noise, and alpha + sigma."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    return sigma / (alpha + sigma), alpha + sigma


def level(path: Path, t: Tensor) -> Tensor:
    return path.sigma(t) / path.alpha(t)


def _even(path: Path, t_end: float, steps: int) -> Tensor:
    """The noise at t_0 ... t_N, float64, where its share falls by equal steps."""
    (first, last), _ = mixed(path, torch.tensor([0.0, t_end], dtype=torch.float64))
    q = torch.lerp(first, last, torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    return q / (1 - q)


def levels(path: Path, t_end: float, steps: int, rho: float) -> Tensor:
    """The noise at t_0 ... t_N, float64; an infinite rho is the limit, which is linear in log s."""
    bounds = torch.tensor([0.0, t_end], dtype=torch.float64)
    first, last = level(path, bounds).tolist()
    high, low = min(first, S_MAX), max(last, S_MIN)
    inner = steps if last >= S_MIN else max(steps - 1, 1)
    v = torch.arange(steps + 1, dtype=torch.float64) / inner
    a, b = (bound ** (1 / rho) for bound in (high, low))
    found = high * (low / high) ** v if rho == math.inf else (a + v * (b - a)).clamp(min=0) ** rho
    found[0], found[inner] = high, low  # but for rounding, which would put them outside of bounds that are theirs
    return found
