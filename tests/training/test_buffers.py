"""What is not trained is the same for any number of ranks: frozen parameters, statistics, counters, spectra."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm
from two_ranks import outputs_of_two_ranks

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.training.buffers import Buffers
from bench.training.trainer import Trainer


class Stateful(nn.Module):
    """Every kind of state that a forward pass changes or must not: batch norm, spectral norm, frozen features, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(4 * torch.randn(4), requires_grad=False)
        self.table = nn.Parameter(torch.arange(3), requires_grad=False)  # of integers
        self.unused = nn.Parameter(torch.ones(2))
        self.first = parametrizations.spectral_norm(nn.Linear(10, 8))
        self.second = spectral_norm(
            nn.Linear(8, 8, bias=False)
        )  # a bias before batch norm has no gradient but rounding
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 2)
        self.register_buffer("largest", torch.tensor(0.0))
        self.register_buffer("passes", torch.tensor(0))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.bool))
        self.register_buffer("constant", torch.tensor([0.1, 0.2]))
        self.target = nn.Parameter(torch.zeros(2), requires_grad=False)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        waves = t[:, None] * self.frequencies
        h = self.second(torch.tanh(self.first(torch.cat([x, waves.sin(), waves.cos()], 1))))
        if self.training:
            self.largest = torch.maximum(self.largest, x.detach().abs().max())  # a new tensor under the old name
            self.passes += 1
            self.seen |= x[0] > 1.5
            self.target.data.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return self.last(torch.tanh(self.norm(h)))


def state(trainer: Trainer) -> dict[str, list[Any]]:
    """Everything that a trained network and its averaged copy hold."""
    found = {}
    for name, module in (("raw", trainer.module), ("average", trainer.average.frozen())):
        named = [*module.named_parameters(), *module.named_buffers()]
        found |= {f"{name}.{key}": tensor.detach().double().flatten().tolist() for key, tensor in named}
    return found


def trained(dataset: Dataset, steps: int = 6, **settings: Any) -> tuple[Trainer, dict[str, list[Any]]]:
    torch.manual_seed(0)
    options = {"batch": 32, "micro_batch": 8, "lr": 1e-2, "optimizer": "adamw", "weight_decay": 0.1, "ema": 0.5}
    module = Stateful()
    trainer = Trainer("r", Training(steps=steps, **(options | settings)), FlowMatchingOT(), module, dataset, 0)
    for _ in range(steps):
        trainer.take_step()
    return trainer, state(trainer)


def test_what_has_no_gradient_stays(points: Dataset) -> None:
    torch.manual_seed(0)
    fresh = Stateful()
    trainer, found = trained(points)
    for part in ("raw", "average"):
        for name in ("frequencies", "table", "unused", "constant"):
            assert found[f"{part}.{name}"] == getattr(fresh, name).detach().double().tolist(), name
    assert not torch.equal(trainer.module.last.weight, fresh.last.weight)
    assert found["raw.passes"] == [6.0] and found["raw.norm.num_batches_tracked"] == [6.0]
    buffers = {name for name, _ in trainer.module.named_buffers()}
    assert all(found[f"average.{name}"] == found[f"raw.{name}"] for name in buffers)
    assert found["average.target"] == found["raw.target"]
    assert found["average.last.weight"] != found["raw.last.weight"]


def test_buffers_are_means_over_pieces_and_counters_their_largest() -> None:
    """By hand: pieces add 1, 2 and 6 to a number, 3 to another, and count 1, 4 and 2."""

    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("number", torch.tensor([10.0, 1 / 3]))
            self.register_buffer("count", torch.tensor(5))

    module = Held()
    buffers = Buffers(module, 3)
    buffers.begin()
    for change, count in ((1.0, 1), (2.0, 4), (6.0, 2)):
        module.number = module.number + torch.tensor([change, 3.0])
        module.count += count
        buffers.take()
        assert module.number[0] == 10 and module.count == 5
    buffers.merge()
    assert module.number.tolist() == [13.0, (torch.tensor(1 / 3) + 3.0).item()] and module.count == 9
    with buffers.kept():
        module.number.zero_()
    assert module.number[0] == 13


def test_a_restart_has_all_of_it(points: Dataset, tmp_path: Path) -> None:
    """Buffers too that no state_dict holds."""

    def built() -> Trainer:
        torch.manual_seed(0)
        module = Stateful()
        module.register_buffer("passes", torch.tensor(0), persistent=False)
        return Trainer("r", Training(steps=4, batch=32, ema=0.5), FlowMatchingOT(), module, points, 0)

    whole, first, second = built(), built(), built()
    for trainer, steps in ((whole, 4), (first, 2)):
        for _ in range(steps):
            trainer.take_step()
    first.save(tmp_path / "c.pt")
    assert second.restore(tmp_path / "c.pt", lambda text: None)
    for _ in range(2):
        second.take_step()
    assert state(second) == state(whole) and state(second)["raw.passes"] == [4.0]


def test_one_piece_leaves_what_it_made(points: Dataset) -> None:
    trainer, _ = trained(points, micro_batch=None)
    torch.manual_seed(0)
    plain = Trainer("r", trainer.settings, FlowMatchingOT(), Stateful(), points, 0)
    for name in ("begin", "take", "merge"):
        setattr(plain.buffers, name, lambda: None)
    for _ in range(6):
        plain.take_step()
    assert state(plain) == state(trainer)


SCRIPT = """
import json
import sys

import torch

sys.path[:0] = [sys.argv[1]]
torch.set_num_threads(1)
from oracles import GaussianMixture
from test_buffers import trained

from bench.training import ranks
from bench.datasets.base import Dataset

mixture = GaussianMixture.pair()
draw = torch.Generator().manual_seed(1)
points = Dataset("pair", "1", mixture.sample(512, draw).float(), mixture.sample(256, draw).float())
with ranks.joined("cpu", 2):
    for shard in (False, True):
        found = trained(points, shard_optimizer=shard)[1]
        print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm_interpreters")
def test_all_state_of_two_ranks_is_that_of_one(points: Dataset) -> None:
    outputs = outputs_of_two_ranks(SCRIPT, str(Path(__file__).parents[1]))
    said = [[json.loads(line) for line in out.splitlines()] for out in outputs]
    one = trained(points)[1]
    exact = ("passes", "seen", "frequencies", "table", "unused", "constant", "num_batches_tracked", "largest")
    for shard in (0, 1):
        first, second = said[0][shard], said[1][shard]
        assert first == second  # bit for bit: the ranks hold the same
        assert first.keys() == one.keys()
        for name, values in one.items():
            if name.endswith(exact):
                assert first[name] == values, name
            else:
                assert first[name] == pytest.approx(values, rel=1e-4, abs=1e-5), name
