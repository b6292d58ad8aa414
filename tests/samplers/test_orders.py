"""Every sampler that declares an order shows it, on the exact field of a mixture whose flow map is known."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from oracles import GaussianMixture, field, transported

from bench.config.registry import samplers
from bench.methods.model import Model
from bench.methods.paths import OptimalTransport, Path, VariancePreserving
from bench.methods.sampler import Sampler

DATA = GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([0.4, 0.6], [[-0.8], [0.7]], [[0.15], [0.1]])))
X0 = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)[:, None]


class Straight(OptimalTransport):
    """Straight lines between noise levels of 10 and 1 / 9: where the noise is bounded, an order is whole."""

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return 0.1 + 0.8 * t

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - 0.9 * t

    def dalpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.full_like(t, 0.8)

    def dsigma(self, t: torch.Tensor) -> torch.Tensor:
        return torch.full_like(t, -0.9)


PATHS: list[Path] = [Straight(), VariancePreserving(0.1, 5.0, t_end=0.9)]


def _cases() -> list[Any]:
    cases: list[Sampler] = []
    for cls in samplers.values():
        options = {f.name for f in fields(cls)}
        made = [cls(**{name: p}) for name in ("order", "solver_order") if name in options for p in (1, 2)] or [cls()]
        made += [cls(solver_order=3)] if "solver_order" in options else []
        # Equal steps of log(alpha / sigma), which suit exponential integrators and the others alike.
        made = [replace(one, grid="logsnr") for one in made] if "grid" in options else made
        cases += [one for one in made if one.order and "steps" in options]
    return [pytest.param(one, id=one.label) for one in cases]


def error(sampler: Sampler, path: Path) -> float:
    """Root mean square distance of samples from where the flow leads."""
    found = sampler.draw(Model(field(DATA, path), path.t_end, path), X0, torch.Generator())
    return float((found - transported(DATA, path, X0)).square().mean().sqrt())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("sampler", _cases())
def test_the_error_falls_by_the_declared_order(sampler: Any, path: Path) -> None:
    errors = [error(replace(sampler, steps=steps), path) for steps in (48, 96)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(sampler.order, abs=0.15)


# From 96 to 192 steps on the paths of methods, which start without data and end without noise, by default options.
WHOLE_PATHS = {
    "exponential": (1.87, 1.97),
    "exponential-order1": (1.00, 1.00),
    "dpm_solver_pp": (1.64, 2.27),
    "dpm_solver_pp-solver_order3": (2.08, 1.29),
    "unipc": (1.98, 1.28),
    "unipc-solver_order3": (1.91, 1.15),
    "edm": (0.58, 1.12),
}


@pytest.mark.slow
@pytest.mark.parametrize("label", WHOLE_PATHS)
def test_ends_without_data_or_noise_cost_some_of_the_order(label: str) -> None:
    name, _, more = label.partition("-")
    sampler: Any = samplers[name](**{more[:-1]: int(more[-1])} if more else {})
    for path, slope in zip((OptimalTransport(), VariancePreserving()), WHOLE_PATHS[label], strict=True):
        errors = [error(replace(sampler, steps=steps), path) for steps in (96, 192)]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(slope, abs=0.05)


def test_edm_starts_without_the_mean_of_the_data() -> None:
    """One Gaussian N(m, r^2) from y = 80 x0 in the place of 80 x0 + m: the mean of samples ends m r / 80 too low."""
    mean, deviation = 0.5, 0.3
    one = GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([1.0], [[mean]], [[deviation**2]])))
    path = OptimalTransport()
    found = samplers["edm"](steps=200).draw(Model(field(one, path), path.t_end, path), X0, torch.Generator())
    assert float(found.mean()) - mean == pytest.approx(-mean * deviation / 80, rel=0.01)


def test_orders_are_those_of_the_methods() -> None:
    orders = {name: cls().order for name, cls in samplers.items()}
    expected = {
        **{"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "edm": 2, "exponential": 2},
        **{"dormand_prince": 5, "dopri5": 5, "dopri8": 8, "bosh3": 3, "adaptive_heun": 2},
        **{"dpm_solver_pp": 2, "unipc": 2},
        **{"ddim": None, "ancestral": None, "euler_maruyama": None},
    }
    assert expected.items() <= orders.items()
    assert samplers["edm"](churn=1.0).order is None and samplers["dpm_solver_pp"](solver_order=1).order == 1
