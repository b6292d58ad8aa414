"""Parts of a stage: a restart repeats one of them at most and ends with the same bits, and nothing stays behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import Given, Idle, likelihood
from tiny import SUITE, runs
from torch import Tensor

from bench.config.settings import Likelihood, Solve, Stage
from bench.datasets.base import Dataset
from bench.evaluation import unfinished
from bench.evaluation.trained import Trained
from bench.evaluation.unfinished import Unfinished
from bench.launch.job import Job
from bench.methods.ode import Solver, VelocityField
from bench.records import records, standing
from bench.records.records import Measurement
from bench.samplers.ode import sampler_of
from bench.training import ranks

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _every_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "WORTH", 0)


def part(value: float) -> Callable[[], unfinished.Arrays]:
    return lambda: {"x": np.array([value, 1 / 3]), "k": np.array([1, 255], dtype=np.uint8)}


def never() -> unfinished.Arrays:
    raise AssertionError("made again")


def test_a_part_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "partial-run-samples"
    made = Unfinished(folder).once("dopri5-0", part(0.1))
    assert [path.name for path in folder.iterdir()] == ["dopri5-0.npz"]
    kept = Unfinished(folder).once("dopri5-0", never)
    assert kept.keys() == made.keys()
    for key in made:
        assert np.array_equal(kept[key], made[key]) and kept[key].dtype == made[key].dtype
    other = Unfinished(folder).once("dopri5-10", part(0.2))
    assert other["x"][0] == 0.2 and Unfinished(folder).once("dopri5-0", never)["x"][0] == 0.1


def test_names_of_settings_become_names_of_files(tmp_path: Path) -> None:
    names = [f"{Solver('dormand_prince', rtol, 1e-5).settings()}-{k}-{start}" for rtol in (1e-5, 1e-3) for k, start in (
        (0, 0), (0, 10), (1, 0), (10, 0),
    )]  # fmt: skip
    for i, name in enumerate(names):
        Unfinished(tmp_path).once(name, part(i))
    assert [Unfinished(tmp_path).once(name, never)["x"][0] for name in names] == list(range(8))
    assert len(list(tmp_path.iterdir())) == 8


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "partial-run-samples"
    with pytest.raises(AssertionError):
        Unfinished(folder).once("dopri5-0", never)
    assert not folder.exists()


def test_what_is_made_faster_than_it_is_kept_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "WORTH", 60)
    folder = tmp_path / "partial-run-samples"
    assert Unfinished(folder).once("dopri5-0", part(0.1))["x"][0] == 0.1
    assert not folder.exists()


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [Unfinished().once("dopri5-0", part(value))["x"][0] for value in (0.1, 0.2)] == [0.1, 0.2]
    assert list(tmp_path.iterdir()) == []


# A killed stage.


class Killed(BaseException):
    pass


class Field:
    """A smooth velocity field that counts its calls, and is killed in the middle of one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.calls, self.last = 0, last

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        if self.calls == self.last:
            raise Killed
        self.calls += 1
        return torch.sin(3 * x) * (1 + t) + x.flatten(1).mean(1).reshape(-1, *[1] * (x.ndim - 1))


@pytest.fixture(scope="module")
def tested() -> Dataset:
    """40 test images."""
    draw = torch.Generator().manual_seed(4)
    test = torch.randint(0, 256, (40, 1, 2, 3), generator=draw, dtype=torch.uint8)
    return Dataset("tested", "1", test[:4], test, levels=256)


ASKED = Likelihood(n=40, batch=10, draws=(1, 3), divergence="hutchinson", probes=2, solvers=(Solve(rtol=1e-3),))

Rows = list[tuple[str, float, float | None]]


def measured(f: VelocityField, dataset: Dataset, parts: Unfinished) -> Rows:
    """The NLL of one and of three draws in 12 batches, with the errors of their probes."""
    rows: list[Measurement] = likelihood(Trained(Given(f), Idle(), dataset, 0, "cpu"), ASKED, "ema", parts)
    assert len(rows) == 10  # of two K the NLL, its defensive twin, the lost points and the probes' error; NFE, seconds
    return [(row.metric, row.value, row.stderr) for row in rows if row.metric != "likelihood_seconds"]


@pytest.fixture(scope="module")
def whole(tested: Dataset) -> tuple[Rows, int]:
    """What an undisturbed likelihood measures, and its calls of the network."""
    f = Field()
    return measured(f, tested, Unfinished()), f.calls


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_a_killed_likelihood_repeats_one_batch_at_most(
    tested: Dataset, whole: tuple[Rows, int], tmp_path: Path, share: float
) -> None:
    expected, calls = whole
    first, second, third = Field(round(share * calls)), Field(), Field()
    with pytest.raises(Killed):
        measured(first, tested, Unfinished(tmp_path))
    assert abs(len(list(tmp_path.iterdir())) - 12 * share) <= 2
    assert measured(second, tested, Unfinished(tmp_path)) == expected
    longest = max(int(np.load(path)["nfe"]) for path in tmp_path.iterdir())
    assert calls <= first.calls + second.calls < calls + longest
    assert len(list(tmp_path.iterdir())) == 12
    assert measured(third, tested, Unfinished(tmp_path)) == expected and third.calls == 0


@pytest.mark.parametrize("way", ["ode", "native"])
def test_killed_samples_repeat_one_batch_at_most(tmp_path: Path, way: str) -> None:
    points = Dataset("none", "1", torch.zeros(1, 2), torch.zeros(1, 2))

    def drawn(f: Field, parts: Unfinished | None) -> tuple[list[tuple[int, float]], Tensor]:
        def noisy(x: Tensor, rng: torch.Generator) -> Tensor:
            return x + sum(f(torch.tensor(0.5), x) * torch.randn((), generator=rng) for _ in "12345")

        trained = Trained(Given(f, own=(("noisy", noisy),)), Idle(), points, 0, "cpu")
        draw = sampler_of(Solver("dormand_prince", 1e-4, 1e-4)) if way == "ode" else "noisy"
        batches = list(trained.batches(way, draw, 44, 10, parts))
        return [(b.start, b.nfe) for b in batches], torch.cat([b.x for b in batches])

    whole = Field()
    cost, expected = drawn(whole, None)
    assert len(cost) == 5 and len(expected) == 44
    first, second = Field(whole.calls // 2), Field()
    with pytest.raises(Killed):
        drawn(first, Unfinished(tmp_path / "parts"))
    assert 1 <= len(list((tmp_path / "parts").iterdir())) <= 3
    again, x = drawn(second, Unfinished(tmp_path / "parts"))
    assert again == cost and torch.equal(x, expected)
    assert (
        whole.calls
        <= first.calls + second.calls
        < whole.calls + (5 if way == "native" else max(nfe for _, nfe in cost))
    )


@pytest.mark.slow
def test_parts_move_between_numbers_of_ranks(
    tested: Dataset, whole: tuple[Rows, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two ranks have made is found by one."""
    with monkeypatch.context() as two:
        two.setattr(ranks, "_count", 2)
        two.setattr(ranks, "total", lambda tensor: tensor)
        two.setattr(ranks, "agreed", lambda *values: list(values))
        for rank in (0, 1):
            two.setattr(ranks, "_rank", rank)
            share = Field()
            measured(share, tested, Unfinished(tmp_path))
            assert 0.3 < share.calls / whole[1] < 0.7
    last = Field()
    assert measured(last, tested, Unfinished(tmp_path)) == whole[0] and last.calls == 0


def job(folder: Path, text: str = SUITE) -> Job:
    """DDPM, for its native samplers."""
    folder.mkdir(exist_ok=True)
    return Job(runs(folder, text)[1], folder / "results", folder / "data")


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_stage_goes_on_within_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SUITE.replace("n = 20, batch = 20 }", "n = 20, batch = 5 }").replace("batch = 40,", "batch = 10,")
    text += "evaluation.sweep = { n = 20, batch = 5, nfe = [4], tolerances = [1e-2] }\n"
    undisturbed, this = (job(tmp_path / name, text) for name in ("undisturbed", "killed"))
    assert undisturbed() == "ok"

    made: list[tuple[str, str]] = []
    once = Unfinished.once

    def watched(
        self: Unfinished, name: str, make: Callable[..., unfinished.Arrays], *arguments: int
    ) -> unfinished.Arrays:
        def third_dies() -> unfinished.Arrays:
            if self.folder:
                made.append((self.folder.name, name))
                if [folder for folder, _ in made].count(self.folder.name) == 3:
                    raise Killed
            return make(*arguments)

        return once(self, name, third_dies)

    monkeypatch.setattr(Unfinished, "once", watched)
    stages: tuple[Stage, ...] = ("likelihood", "samples", "sweep")
    for stage in stages:
        with pytest.raises(Killed):
            this()
        [folder] = this.folder.glob("partial-*")
        assert folder.name == standing.parts_folder(this.run, stage)
        assert len(list(folder.iterdir())) == 2
    assert this() == "ok"
    assert len(made) == len(set(made)) + 3  # the three that died, and no other, were made again

    assert {p.name for p in this.folder.iterdir()} == {p.name for p in undisturbed.folder.iterdir()}
    for stage in this.run.stages:
        a, b = (records.read_stage(j.root, j.run.run_id, stage) for j in (undisturbed, this))
        assert a and b
        for x, y in zip(a["measurements"], b["measurements"], strict=True):
            if "seconds" not in x["metric"] and "memory" not in x["metric"]:
                assert (x["metric"], x["value"], x["stderr"]) == (y["metric"], y["value"], y["stderr"])


@pytest.mark.slow
def test_parts_of_other_weights_are_not_used(tmp_path: Path) -> None:
    """A checkpoint that is lost means training anew, and with it every part."""
    this = job(tmp_path)

    def distances() -> list[float]:
        record = records.read_stage(this.root, this.run.run_id, "samples")
        return [m["value"] for m in record["measurements"] if m["metric"] == "w2"] if record else []

    assert this() == "ok"
    expected = distances()
    for name in ("checkpoint.pt", "samples.json"):
        (this.folder / name).unlink()
    stale = Unfinished(this.folder / standing.parts_folder(this.run, "samples"))
    stale.once("dopri5-0", lambda: {"x": np.zeros((40, 2)), "nfe": np.array(1.0), "seconds": np.array(1.0)})
    assert this() == "ok"
    assert len(expected) == 3 and distances() == expected
