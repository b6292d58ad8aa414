"""Networks as people write them are completed before training and copied for evaluation, or refused before a step."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from bench.config.components import build_network
from bench.config.registry import networks
from bench.config.settings import Component, Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.training.modules import copied, materialise
from bench.training.trainer import Trainer

Wrap = Callable[[nn.Module], nn.Module]


class Wrapped(nn.Module):
    """A network whose layers are wrapped, or lazy."""

    def __init__(self, wrap: Wrap, lazy: bool = False) -> None:
        super().__init__()
        first = nn.LazyLinear(16) if lazy else wrap(nn.Linear(3, 16))
        self.body = nn.Sequential(first, nn.SiLU(), wrap(nn.Linear(16, 2)))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        found: Tensor = self.body(torch.cat([x, t[:, None]], 1))
        return found


def example() -> tuple[list[Tensor], dict[str, Tensor]]:
    return [torch.rand(2), torch.randn(2, 2)], {}


WRAPS: dict[str, Wrap] = {
    "weight norm, old": nn.utils.weight_norm,
    "spectral norm, old": nn.utils.spectral_norm,
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
}


def trainer(module: nn.Module, dataset: Dataset, **settings: Any) -> Trainer:
    options: dict[str, Any] = {"steps": 8, "batch": 16, "lr": 1e-2} | settings
    return Trainer("the-run", Training(**options), FlowMatchingOT(), module, dataset, 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("name", WRAPS)
def test_a_normalised_network_is_trained_and_copied(points: Dataset, tmp_path: Path, name: str, ema: float) -> None:
    torch.manual_seed(0)
    t = trainer(Wrapped(WRAPS[name]), points, ema=ema)
    t.fit(tmp_path / "c.pt", lambda module: [], lambda text: None)
    module = t.average.frozen()
    x, time = points.test[:7], torch.full((7,), 0.3)
    for parameter, average in zip(t.module.parameters(), t.average.tensors, strict=True):
        parameter.data.copy_(average)  # what the copy should answer with
    expected = t.module.eval()(time, x)
    assert torch.equal(module(time, x), expected) and not module(time, x).requires_grad
    with torch.no_grad():
        for parameter in t.module.parameters():
            parameter.add_(1.0)
    assert torch.equal(module(time, x), expected)


def test_a_lazy_network_is_completed_before_its_optimiser(points: Dataset, tmp_path: Path) -> None:
    module = Wrapped(lambda m: m, lazy=True)
    materialise(module, "lazy", example)
    assert module.training and sum(p.numel() for p in module.parameters()) == 3 * 16 + 16 + 16 * 2 + 2
    t = trainer(module, points)
    before = [p.detach().clone() for p in t.parameters]
    t.fit(tmp_path / "c.pt", lambda module: [], lambda text: None)
    assert not any(torch.equal(a, b) for a, b in zip(before, t.parameters, strict=True))


def test_a_registered_lazy_network_is_built_complete(points: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.load()
    builder = lambda shape: Wrapped(lambda m: m, lazy=True)  # noqa: E731
    monkeypatch.setattr(networks, "_entries", dict(networks._entries) | {"lazy": builder})
    module = build_network(Component(name="lazy"), points)
    assert sum(p.numel() for p in module.parameters()) == 98


def test_a_lazy_layer_that_no_pass_reaches_is_refused() -> None:
    module = Wrapped(lambda m: m)
    module.idle = nn.LazyLinear(3)
    with pytest.raises(UsageError, match=r"network odd: the lazy parameter idle\.weight is in no forward pass"):
        materialise(module, "odd", example)


def test_a_network_that_cannot_be_copied_is_refused_before_the_first_step(points: Dataset, tmp_path: Path) -> None:
    module = Wrapped(lambda m: m)
    module.lock = threading.Lock()  # type: ignore[assignment]
    t = trainer(module, points)
    with pytest.raises(UsageError, match="is copied for evaluation, and this one cannot be: TypeError"):
        t.fit(tmp_path / "c.pt", lambda module: [], lambda text: None)
    assert t.step == 0 and not list(tmp_path.iterdir())


def test_a_copy_shares_no_tensor(points: Dataset) -> None:
    module = Wrapped(nn.utils.parametrizations.weight_norm)
    module.held = [torch.ones(2, requires_grad=True) * 2]  # type: ignore[assignment]
    copy = copied(module)
    assert torch.equal(copy.held[0], module.held[0]) and not copy.held[0].requires_grad  # type: ignore[index, union-attr]
    mine, theirs = ({p.data_ptr() for p in m.parameters()} for m in (module, copy))
    assert not mine & theirs
