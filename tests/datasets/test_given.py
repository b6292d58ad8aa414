"""What samples are given, stored beside the splits: its rules, its rows in every use, and pairs as ordinary data."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Samples, Training
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.errors import UsageError
from bench.evaluation.floors import floors
from bench.evaluation.likelihood import floor
from bench.evaluation.quality import Judge
from bench.evaluation.trained import Drawn, Trained
from bench.metrics.w2 import wasserstein2
from bench.networks.mlp import mlp
from bench.training.seeds import generator
from bench.training.trainer import Trainer


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def density(x: Tensor, c: Tensor) -> Tensor:
    """x ~ N((c_0, c_1), I)."""
    return torch.distributions.Normal(c[:, :2], 1.0).log_prob(x).sum(1)


def draw(c: Tensor, rng: torch.Generator) -> Tensor:
    return c[:, :2] + torch.randn(len(c), 2, generator=rng)


N = {"train": 64, "validation": 20, "test": 30}
GIVEN = {f"{split}_given": normal(n, 3, seed=n) for split, n in N.items()}
SPLITS = {split: GIVEN[f"{split}_given"][:, :2] + normal(n, 2, seed=n + 1) for split, n in N.items()}
FACTS: dict[str, Any] = {"name": "mine", "version": "1", **SPLITS, **GIVEN, "log_prob": density, "posterior": draw}
DATA = Dataset(**FACTS)


def test_what_keeps_the_contract_passes() -> None:
    assert checked("mine", DATA) is DATA and DATA.is_given
    assert not replace(DATA, **dict.fromkeys([*GIVEN, "log_prob", "posterior"])).is_given


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"train_given": normal(63, 3, seed=0)}, r"given of float32 \(64, 2\) is float32 \(63, 3\), not"),
        ({"test_given": normal(30, 4, seed=0)}, r"test_given is float32 \(30, 4\), and train_given float32 \(64, 3\)"),
        ({"test_given": normal(30, 3, seed=0).double()}, r"test_given is float64 \(30, 3\), not a float32 tensor"),
        ({"test_given": [0.0]}, "test_given is list, not a float32 tensor"),
        ({"test_given": normal(30, 3, seed=0) / 0}, "test_given has 90 values that are not finite"),
        ({"test_given": None}, "given of train and validation, none of test: all splits have given, or none of them"),
        ({"validation": None}, "validation_given without a validation split"),
        ({"given": lambda x: x}, "train_given beside a function given"),
        ({**dict.fromkeys(GIVEN), "given": GIVEN["train_given"]}, r"given is float32 \(64, 3\), not a function"),
        ({"log_prob": lambda x: x[:, 0]}, r"log_prob\(x, given\): TypeError"),
        ({"log_prob": lambda x, c: c}, r"log_prob of 8 samples is float32 \(8, 3\), not \(8,\)"),
        (
            {"posterior": lambda c, rng: c},
            r"posterior of float32 \(8, 3\) draws float32 \(8, 3\), not float32 \(8, 2\)",
        ),
        ({"posterior": lambda c: c}, r"posterior\(given, rng\): TypeError"),
        ({**dict.fromkeys([*GIVEN, "log_prob"])}, "a posterior of samples that are given nothing"),
    ],
)
def test_what_breaks_it_is_named(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=f"^dataset mine: .*{rule}") as caught:
        checked("mine", Dataset(**FACTS | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", N)
def test_the_checksum_has_it(split: str) -> None:
    other = GIVEN[f"{split}_given"].clone()
    other[-1, -1] += 1e-3
    assert replace(DATA, **{f"{split}_given": other}).checksum != DATA.checksum == Dataset(**FACTS).checksum


def test_a_loss_sees_what_its_rows_are_given() -> None:
    seen: list[Any] = []

    class Keeping(FlowMatchingOT):
        def loss(self, net: Any, batch: Any, ctx: Any) -> Tensor:
            seen.append((batch, net.given))
            return super().loss(net, batch.x, ctx.rng)

    Trainer("r", Training(steps=1, batch=16), Keeping(), mlp((2,), width=4, depth=1, given=3), DATA, 0).take_step()
    ((batch, of_net),) = seen
    assert torch.equal(batch.given, DATA.train_given[batch.index]) and of_net is batch.given
    assert torch.equal(batch.x, DATA.train[batch.index]) and len(batch.index.unique()) > 8


def test_samples_are_given_what_held_out_ones_are() -> None:
    trained = Trained(FlowMatchingOT(), mlp((2,), width=4, depth=1, given=3), DATA, 0, "cpu")
    assert torch.equal(trained.network(5, 9).given, DATA.test_given[5:9])
    tuned = replace(trained, dataset=DATA.for_tuning)
    assert torch.equal(tuned.network(5, 9, held_out=True).given, DATA.validation_given[5:9])
    assert DATA.for_tuning.validation_given is None and DATA.for_tuning.train_given is DATA.train_given


def test_pairs_are_an_ordinary_set() -> None:
    found = DATA.joined
    assert found is DATA.joined is found.joined and not found.is_given and found.posterior is None
    assert found.is_joined and found.for_tuning.is_joined and not DATA.is_joined
    for split in N:
        assert torch.equal(getattr(found, split), torch.cat([SPLITS[split], GIVEN[f"{split}_given"]], 1))
    assert torch.equal(found.log_prob(found.test), density(DATA.test, DATA.test_given))
    assert checked("pairs", found) is found
    by_function = Dataset("mine", "1", SPLITS["train"], SPLITS["test"], given=lambda x: x[:, :1])
    assert torch.equal(by_function.joined.test, SPLITS["test"][:, [0, 1, 0]])


def test_metrics_of_samples_see_pairs(tmp_path: Any) -> None:
    judge = Judge(DATA, Samples(n=20, w2_n=20), tmp_path, "cpu", 0)
    x, quality = normal(20, 2, seed=5), judge.quality(20)
    for rows in (slice(12, 20), slice(0, 12)):
        quality.add(Drawn(rows.start, x[rows], nfe=1.0, seconds=0.0))
    (row,) = quality.measured()
    given = DATA.test_given[:20]
    expected = wasserstein2(torch.cat([x, given], 1), torch.cat([DATA.test[:20], given], 1))
    assert row.metric == "w2" and row.value == pytest.approx(expected, rel=1e-6)
    assert row.settings["joined"] == "given" and row.settings["split"] == "test"


def test_the_floor_is_of_fresh_draws_for_the_same_conditions(tmp_path: Any) -> None:
    judge = Judge(DATA, Samples(n=20, w2_n=20), tmp_path, "cpu", 0)
    (row,) = floors(judge, 20)
    given = DATA.test_given[:20]
    values = [
        wasserstein2(torch.cat([draw(given, generator(0, "floor-posterior", i)), given], 1), DATA.joined.test[:20])
        for i in range(5)
    ]
    assert row.metric == "w2_floor" and row.value == pytest.approx(sum(values) / 5, rel=1e-6)
    assert row.settings["floor_split"] == "posterior" and row.settings["repeats"] == 5
    (without,) = floors(Judge(replace(DATA, posterior=None), Samples(n=20, w2_n=20), tmp_path, "cpu", 0), 20)
    assert without.reason == "not applicable: no split of mine is given what its samples are"


def test_the_exact_likelihood_is_that_under_what_is_given() -> None:
    row, _ = floor(DATA, 25)
    assert row.value == pytest.approx(-float(density(DATA.test[:25].double(), DATA.test_given[:25].double()).mean()))
