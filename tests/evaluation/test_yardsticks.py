"""What stands beside the paths of a method: optimal transport, and the exact field of its path."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from bench.config.registry import datasets
from bench.config.settings import Samples
from bench.datasets.base import Dataset
from bench.datasets.source import SourcePoints
from bench.evaluation import yardsticks
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.follow import follow
from bench.evaluation.parts import Parts
from bench.evaluation.paths import measure_paths
from bench.evaluation.quality import Judge
from bench.evaluation.trained import Trained
from bench.evaluation.yardsticks import PLANS, exact_paths, optimal, plans
from bench.methods.paths import OptimalTransport, VariancePreserving
from bench.metrics.metric import facts_of
from bench.records.records import Measurement

MEAN, STD = (0.5, -2.0), (0.4, 3.0)
W2_SQUARED = sum(m**2 + (s - 1) ** 2 for m, s in zip(MEAN, STD, strict=True))


def gaussian(**options: Any) -> Dataset:
    found: Dataset = datasets["gaussian"](
        Path("unused"), **{"mean": list(MEAN), "std": list(STD), "n_train": 5000, "n_test": 200, **options}
    )
    return found


def of(n: int, times: int) -> Samples:
    return Samples(path_n=n, path_times=times)


def named(rows: list[Measurement]) -> dict[str, Measurement]:
    return {row.metric: row for row in rows}


def test_the_exact_field_of_a_gaussian_has_its_energy_and_straightness(tmp_path: Path) -> None:
    """Of each coordinate r^2 = t^2 s^2 + (1 - t)^2: energy m^2 + int r'^2 dt, straightness energy - W2^2."""

    def speed(t: float, s: float) -> float:
        return float(t * s**2 - (1 - t)) ** 2 / (t**2 * s**2 + (1 - t) ** 2)

    energy = sum(m**2 + quad(speed, 0, 1, (s,))[0] for m, s in zip(MEAN, STD, strict=True))
    rows = named(exact_paths(tmp_path, gaussian(), OptimalTransport(), of(500, 201), 0))
    assert set(rows) == {"path_energy_exact", "straightness_exact", "tortuosity_exact"}
    for name, value in (("path_energy_exact", energy), ("straightness_exact", energy - W2_SQUARED)):
        row = rows[name]
        assert row.n == 500 and row.settings == {"path": "OT"} and row.stderr
        assert row.value == pytest.approx(value, abs=4 * row.stderr)
    title = facts_of("straightness_exact")
    assert (title.title, title.direction, title.group) == ("Straightness of the exact field", "", "geometry")


def test_optimal_transport_between_gaussians_is_known_to_a_percent(tmp_path: Path) -> None:
    """By 5 x 500 points; without their moments set it strays by more than that."""
    assert optimal(tmp_path, gaussian(n_train=200_000), 500) ** 2 == pytest.approx(W2_SQUARED, rel=0.01)
    npe = named(exact_paths(tmp_path, gaussian(), VariancePreserving(), of(50, 21), 500))["npe_exact"]
    energy = named(exact_paths(tmp_path, gaussian(), VariancePreserving(), of(50, 21), 0))["path_energy_exact"].value
    assert npe.value == pytest.approx(energy / optimal(tmp_path, gaussian(), 500) ** 2 - 1)
    assert npe.settings == {"path": "VP", "plans": PLANS, "plan_n": 500}


def test_they_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exact_paths(tmp_path, gaussian(), OptimalTransport(), of(20, 11), 100)
    monkeypatch.setattr(yardsticks, "follow", None)
    monkeypatch.setattr(yardsticks, "wasserstein2", None)
    assert exact_paths(tmp_path, gaussian(), OptimalTransport(), of(20, 11), 100) == first
    for other in (
        exact_paths(tmp_path, gaussian(), OptimalTransport(0.1), of(20, 11), 0),
        exact_paths(tmp_path, gaussian(), OptimalTransport(), of(21, 11), 0),
        exact_paths(tmp_path, gaussian(std=1.0), OptimalTransport(), of(20, 11), 0),
    ):
        assert [row.reason for row in other] == ["TypeError: 'NoneType' object is not callable"] * 3


def test_runs_that_draw_points_of_their_own_share_the_exact_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another law, of another path or of other points of a fixed seed it is followed again."""
    followed = Counter[str]()

    def counting(*args: Any) -> Any:
        followed["times"] += 1
        return follow(*args)

    monkeypatch.setattr(yardsticks, "follow", counting)
    law = {"seed": "run", "mean": 0.0}
    found = [
        exact_paths(tmp_path, gaussian(**law, run_seed=seed), OptimalTransport(), of(20, 11), 0) for seed in range(3)
    ]
    assert followed["times"] == 1 and found[0] == found[1] == found[2]
    others = [
        exact_paths(tmp_path, gaussian(**{**law, "std": 1.0}, run_seed=0), OptimalTransport(), of(20, 11), 0),
        exact_paths(tmp_path, gaussian(**law, run_seed=0), OptimalTransport(0.1), of(20, 11), 0),
        exact_paths(tmp_path, gaussian(mean=0.0, seed=0), OptimalTransport(), of(20, 11), 0),
    ]
    assert followed["times"] == 4 and others[2] == found[0] and found[0] not in others[:2]


def test_without_a_law_or_from_another_source_no_field_is_exact(tmp_path: Path) -> None:
    data = gaussian()
    source = SourcePoints({split: getattr(data, split) for split in ("train", "validation", "test")}, None)
    for path, data_of in (
        (None, data),
        (OptimalTransport(), replace(data, law=None)),
        (OptimalTransport(), replace(data, source=source)),
    ):
        assert exact_paths(tmp_path, data_of, path, of(20, 11), 0) == []
    assert plans(data, 2000) == 1000 and plans(data, 300) == 300
    assert plans(gaussian(seed="run"), 300) == 0 and plans(replace(data, source=source), 300) == 0


@pytest.mark.parametrize("seed", [0, "run"])
def test_npe_is_by_one_energy_for_all_runs_or_by_the_points_of_the_run(
    tmp_path: Path, seed: Any, still: Callable[[Dataset], Trained]
) -> None:
    """A field that stands still has no energy: NPE 1. One that shifts by 1 has |1 - W| / W."""
    data = gaussian(seed=seed)
    config = Samples(n=40, batch=40, w2_n=30, path_n=50, path_times=3)
    parts, trained = Parts(lambda text: None), still(data)
    judge = Judge(data, config, tmp_path, "cpu", 0)
    measure_paths(Evaluator(trained, judge, config, "raw", lambda text: None), parts)
    npe = named(parts.rows)["npe"]
    of_plans = {key: npe.settings.get(key) for key in ("plans", "plan_n")}
    if seed == "run":
        cost = torch.cdist(trained.noise(0, 30).double(), data.test[:30].double()).square()
        energy = float(best(cost))
        assert npe.n == 30 and of_plans == {"plans": None, "plan_n": None}
    else:
        energy = optimal(tmp_path, data, 30) ** 2
        assert npe.n == 50 and of_plans == {"plans": 5, "plan_n": 30}
    assert npe.value == pytest.approx(abs(2 - energy) / energy, rel=1e-5)


def best(cost: Tensor) -> Tensor:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost.numpy())
    return cost[rows, columns].mean()


@pytest.fixture
def still() -> Callable[[Dataset], Trained]:
    """A model that shifts each coordinate by 1."""
    from oracles import Given, Idle

    return lambda data: Trained(Given(lambda t, x: torch.ones_like(x)), Idle(), data, 0, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "straight", "bent"),
    [
        ("moons", (1.200, 1.237), (0.39, 0.13)),
        ("swissroll", (1.247, 0.869), (0.57, 0.14)),
        ("8gaussians", (1.929, 3.28), (0.16, 0.06)),
    ],
)
def test_exact_paths_of_the_toys(
    name: str, straight: tuple[float, float], bent: tuple[float, float], tmp_path: Path
) -> None:
    """As measured independently: the straight path's marginal field is the more bent one."""
    data = datasets[name](Path("unused"), n_train=100, n_test=100)
    for path, s, bend in zip((OptimalTransport(), VariancePreserving()), straight, bent, strict=True):
        rows = named(exact_paths(tmp_path, data, path, of(300, 51), 0))
        for row, value in ((rows["straightness_exact"], s), (rows["tortuosity_exact"], bend)):
            assert row.value == pytest.approx(value, abs=3 * (row.stderr or math.nan) + 0.01)
