"""What paths are measured beside, whatever the run: optimal transport, and the exact field of their own kind.

W2^2(p_0, data) is the mean over PLANS independent draws of n points. The mean and the deviation of each coordinate are
set to those of N(0, I), or of all training points: four fifths of the noise that n points leave in W2^2 are theirs.
W2^2 of 2,000 points of the plane is still high by 1 to 2%, and the NPE of a method close to optimal is of that size.
The exact field is the marginal velocity of a method's path (bench/methods/marginal.py), which training along it could
reach at best. Its paths start from noise of their own, the same for all runs. Both are kept (bench/evaluation/kept.py).
"""

from dataclasses import replace
from pathlib import Path as Folder

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.order import evenly
from bench.evaluation.follow import OF_PATHS, follow
from bench.evaluation.kept import kept
from bench.evaluation.parts import Rows, attempt
from bench.identity import identity
from bench.methods.marginal import marginal_velocity
from bench.methods.ode import Solver
from bench.methods.paths import Path
from bench.metrics.metric import EXACT
from bench.metrics.npe import npe
from bench.metrics.w2 import wasserstein2
from bench.records.records import Measurement
from bench.training.seeds import generator, normal

PLANS = 5
HERE = "bench/evaluation/yardsticks.py"


def optimal(data_dir: Folder, data: Dataset, n: int) -> float:
    """W2 between N(0, I) and points that are the same for all runs, by n of each a draw."""

    def make() -> NDArray[np.float64]:
        points = data.encode(data.train).flatten(1).double()
        law = points.mean(0), points.std(0, correction=0)
        normal_law = torch.zeros_like(law[0]), torch.ones_like(law[1])
        squares = []
        for i in range(PLANS):
            noise = torch.randn(n, data.dim, generator=generator(0, "floor-plan", i), dtype=torch.float64)
            drawn = points[evenly(n, len(points), i, PLANS)]
            squares.append(wasserstein2(_with_moments(noise, *normal_law), _with_moments(drawn, *law)) ** 2)
        return np.array(squares)

    code = identity.yardstick(f"{HERE}: optimal", data.name)
    return float(kept(data_dir, data, "w2-of-noise", code, [n], make).mean()) ** 0.5


def _with_moments(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Points (n, D), each coordinate scaled to that mean and deviation, but for one that is the same for all."""
    own = x.std(0, correction=0)
    return (x - x.mean(0)) * torch.where(own > 0, std / own, 1.0) + mean


def plans(data: Dataset, most: int) -> int:
    """How many points the plans of a set are of; 0 if the seed of a run draws it, or where x0 is not N(0, I)."""
    if data.is_image or data.is_given or data.by_run or data.source is not None:
        return 0
    return min(most, len(data.train) // PLANS)


def summed(rule: str) -> dict[str, str]:
    """What an energy quotes of the rule that it is summed by: nothing of the usual one."""
    return {"rule": rule} if rule != "trapezoid" else {}


def exact_paths(data_dir: Folder, data: Dataset, path: Path | None, config: Samples, planned: int) -> Rows:
    """What paths of the exact field have, each name ending in _exact; none if no law is known.

    `planned` is the n of `optimal`, by which the field has an NPE, too; 0 for none.
    """
    if path is None or data.law is None or data.source is not None or data.space is not None:
        return []
    law, n, about, rule = data.law, config.path_n, {"path": path.title}, config.path_rule
    rows = [Measurement(f"{metric}{EXACT}", n=n, settings=about) for metric in OF_PATHS]
    rows[0] = replace(rows[0], settings=about | summed(rule))
    of_plans = Measurement(f"npe{EXACT}", n=n, settings={**rows[0].settings, "plans": PLANS, "plan_n": planned})

    def followed() -> NDArray[np.float64]:
        x0 = normal(data.shape, 0, "floor", 0, n).double()
        paths = follow(marginal_velocity(law(), path), x0, path.t_end, config.path_times, Solver(), rule)
        return np.array([*paths.values.values()])

    def make() -> Rows:
        code = identity.yardstick(f"{HERE}: exact_paths", data.name, type(path))
        facts = [repr(path), n, config.path_times, rule]
        values = kept(data_dir, data, "exact-paths", code, facts, followed, of_law=True)
        found = [replace(row, value=float(v), stderr=float(e)) for row, (v, e) in zip(rows, values, strict=True)]
        if planned:
            found.append(replace(of_plans, value=npe(found[0].value, optimal(data_dir, data, planned))))
        return found

    return attempt(rows + [of_plans] * bool(planned), make)
