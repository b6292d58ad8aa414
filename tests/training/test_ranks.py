"""A run that two processes share is the run of one: the same losses, samples, likelihood and sweep, written once."""

import datetime
import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm
from tiny import HEAD, runs
from torch import nn
from two_ranks import outputs_of_two_ranks

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.launch.job import Job
from bench.launch.surroundings import interpreter
from bench.launch.torchrun import run
from bench.networks.mlp import mlp
from bench.records.locks import locked
from bench.training import ranks
from bench.training.optimiser import share_gradients
from bench.training.trainer import Trainer

pytestmark = pytest.mark.slow

SUITE = (
    HEAD
    + """\
baselines = ["ddpm", "ffjord"]
training = { steps = 24, batch = 32, micro_batch = 8, lr = 5e-2, ema = 0.5, clip = 1.0, curve_points = 4, curve_n = 20 }
evaluation.likelihood = { n = 35, batch = 10 }
evaluation.samples = { n = 35, batch = 10, repeats = 2, w2_n = 20, path_n = 20, path_times = 5 }
evaluation.sweep = { n = 25, batch = 10, nfe = [4], tolerances = [1e-2] }
overrides.ddpm = { options.ancestral_steps = 5, options.ddim_steps = 3 }
overrides.ffjord = { training.shard_optimizer = true, training.warmup = 3, training.decay = "cosine" }

[[experiments]]
dataset = "digits"
network = { name = "unet", channels = [8, 16], layers = 1, time_scale = 10.0 }
baselines = ["fm_ot"]
training = { evaluations = 96, batch = 16, micro_batch = 4, flip = true, curve_points = 2, curve_n = 16 }
evaluation.likelihood = { n = 8, batch = 3, draws = [1, 2], divergence = "hutchinson" }
evaluation.samples = { n = 30, batch = 8, path_n = 8, path_times = 5 }
evaluation.sweep = { n = 16, batch = 5, solvers = ["euler"], nfe = [4], tolerances = [1e-2] }
"""
)
# A plugin that notes what a rank opens for writing, and what it renames its files to.
WATCH = """
import os
import sys
from pathlib import Path

notes = Path(__file__).with_name("written-" + os.environ["RANK"])

def watch(event, arguments):
    if event == "open" and set(str(arguments[1])) & set("wax+") or event == "os.rename":
        path = str(arguments[event == "os.rename"])
        if "/runs/" in path:
            with notes.open("a") as file:
                print(path, file=file)

sys.addaudithook(watch)
"""
NAMES = ("ddpm", "ffjord", "fm_ot")
TRAINED = ("train.json", "checkpoint.pt", "checkpoint.previous.pt")

Pairs = dict[str, tuple[Job, Job]]
Row = tuple[str, int | None, dict[str, Any], float, dict[str, float]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Every run by one process and by two; DDPM is trained by one and evaluated by both.

    They are started once, by whichever worker of pytest comes first.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "ranks"
    with locked(folder / "lock"):
        planned = {run.baseline.name: run for run in runs(folder, SUITE)}
        one = {name: Job(planned[name], folder / "by-1", folder / "data") for name in NAMES}
        watch = (str(folder / "watch.py"),)
        two = {name: Job(planned[name], folder / "by-2", folder / "data", plugins=watch, ranks=2) for name in NAMES}
        if not (folder / "done").exists():
            (folder / "watch.py").write_text(WATCH)
            with pytest.MonkeyPatch.context() as patch, warm.interpreters():
                for variable, value in {"OMP_NUM_THREADS": "1", **interpreter()}.items():
                    patch.setenv(variable, value)
                assert [job() for job in one.values()] == ["ok"] * 3
                two["ddpm"].folder.mkdir(parents=True)
                for name in TRAINED:
                    shutil.copy(one["ddpm"].folder / name, two["ddpm"].folder / name)
                assert [run(job) for job in two.values()] == ["ok"] * 3
            (folder / "done").touch()
    return {name: (one[name], two[name]) for name in NAMES}


def rows(job: Job, stage: str) -> list[Row]:
    """Metric, n, settings, value and place of what a stage has measured, but for the clock and the memory."""
    found = json.loads((job.folder / f"{stage}.json").read_text())["measurements"]
    for row in found:
        row["place"].pop("train_seconds", None)
    return [
        (row["metric"], row["n"], row["settings"], row["value"], row["place"])
        for row in found
        if "seconds" not in row["metric"] and "memory" not in row["metric"]
    ]


def losses(job: Job) -> dict[int, float]:
    """Step to mean loss since the one before, as the log has it."""
    line = r" train step (\d+) (?:of \d+|\(\d+ of 96 evaluations\)), loss (\S+),"
    said = re.findall(line, (job.folder / "log.txt").read_text())
    return {int(step): float(loss) for step, loss in said}


def close(one: Row, two: Row) -> bool:
    """Whether they are equal within the rounding of sums, a billionth that a run of steps makes a millionth.

    It may tip the choice of one step of an adaptive solver, which costs six evaluations.
    """
    tolerance = 0.2 if one[0].startswith("nfe") else 1e-3
    same = one[:3] == two[:3] and one[4].get("step") == two[4].get("step")
    return same and two[3] == pytest.approx(one[3], tolerance, 1e-6)


@pytest.mark.parametrize(("name", "steps"), [("ffjord", [3, 6, 12, 24]), ("fm_ot", [3, 6])])
def test_the_loss_curve_of_two_ranks_is_that_of_one(pairs: Pairs, name: str, steps: list[int]) -> None:
    one, two = pairs[name]
    at = [{step: losses(job)[step] for step in steps} for job in (one, two)]  # a slow machine's log has more lines
    assert len(set(at[0].values())) == len(steps)
    assert at[1] == pytest.approx(at[0], rel=1e-3)
    curves = [[row for row in rows(job, "train") if row[4]] for job in (one, two)]
    assert {row[4]["step"] for row in curves[0]} == set(steps)
    assert all(close(a, b) for a, b in zip(*curves, strict=True))


@pytest.mark.parametrize("stage", ["train", "likelihood", "samples", "sweep"])
@pytest.mark.parametrize("name", NAMES)
def test_every_measurement_of_two_ranks_is_that_of_one(pairs: Pairs, name: str, stage: str) -> None:
    one, two = (rows(job, stage) for job in pairs[name])
    assert len(one) >= 2
    if name == "ddpm":  # of the same weights: bit for bit
        assert two == one
    for a, b in zip(one, two, strict=True):
        assert close(a, b), (a, b)


@pytest.mark.parametrize("name", NAMES)
def test_every_array_of_two_ranks_is_that_of_one(pairs: Pairs, name: str) -> None:
    one, two = pairs[name]
    files = sorted(path.name for path in one.folder.glob("*.npz"))
    assert "samples.npz" in files and files == sorted(path.name for path in two.folder.glob("*.npz"))
    for file in files:
        a, b = (dict(np.load(job.folder / file)) for job in (one, two))
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype and a[key].shape == b[key].shape
            if name == "ddpm":
                assert np.array_equal(a[key], b[key])
            elif a[key].dtype == np.uint8:  # a grey level may round to the next
                assert np.abs(a[key].astype(int) - b[key]).max() <= 16 and np.mean(a[key] != b[key]) < 0.01
            else:
                np.testing.assert_allclose(b[key].astype(float), a[key].astype(float), rtol=0.01, atol=0.01)
    samples = one.run.evaluation.samples
    assert samples and len(np.load(two.folder / "samples.npz")["samples"]) == samples.n


def test_solves_of_a_piece_differ_in_their_steps(pairs: Pairs) -> None:
    """What the tests above are worth: a loss takes 6 k + 1 evaluations, with another k for another rank."""
    curve = [row[4] for row in rows(pairs["ffjord"][1], "train") if row[4]]
    assert any((at["nfe_training"] - at["step"]) % 6 for at in curve)


def test_records_say_how_many_ranks_there_were(pairs: Pairs) -> None:
    for name, (one, two) in pairs.items():
        for stage in one.run.stages:
            counts = [json.loads((job.folder / f"{stage}.json").read_text())["device_count"] for job in (one, two)]
            assert counts == [1, 1 if name == "ddpm" and stage == "train" else 2]


@pytest.mark.parametrize("name", NAMES)
def test_one_rank_writes(pairs: Pairs, name: str) -> None:
    one, two = pairs[name]
    files = {path.name for path in one.folder.iterdir()}
    assert {path.name for path in two.folder.iterdir()} == files
    assert not [name for name in files if name.startswith((".", "partial", "rank"))]
    said = [line.split(" ", 2)[2] for line in (two.folder / "log.txt").read_text().splitlines()]
    expected = one.run.stages[name == "ddpm" :]
    assert [text for text in said if text in (*one.run.stages, "ok")] == [*expected, "ok"]
    trained = [text for text in said if text.startswith("train ")]
    assert len(trained) == (0 if name == "ddpm" else len(losses(two)))


def test_no_other_rank_opens_a_file_of_the_run(pairs: Pairs) -> None:
    """But parts of a stage, which are kept by whichever rank has made them."""
    notes = [pairs["ddpm"][1].root.parent / f"written-{rank}" for rank in (0, 1)]
    written = [[Path(line) for line in path.read_text().splitlines()] if path.exists() else [] for path in notes]
    names = [{path.name for path in paths if not path.parent.name.startswith("partial-")} for paths in written]
    assert names[0] >= {"log.txt", "train.json", "sweep.json", "samples.npz", "checkpoint.pt"}
    assert names[1] == set()


# The parts.


def test_shares_are_disjoint_and_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks.mine(range(7)) == range(7) and ranks.is_main() and (ranks.rank(), ranks.count()) == (0, 1)
    monkeypatch.setattr(ranks, "_count", 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(ranks, "_rank", rank)
        shares.append(list(ranks.mine(range(7))))
        assert ranks.is_main() == (rank == 0)
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]


def test_alone_nothing_is_exchanged() -> None:
    x = torch.tensor([1.0, 2.0])
    assert ranks.total(x) is x and x.tolist() == [1.0, 2.0]
    assert ranks.agreed(1.5, 2) == [1.5, 2] and ranks.tallied(1.5, 2) == (1.5, 2) and ranks.gathered("x") == ["x"]
    ranks.barrier()
    with ranks.joined("cpu", 2):
        assert not torch.distributed.is_initialized()


def test_a_gradient_that_a_rank_lacks_counts_as_zero_and_one_that_all_lack_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ranks that have found the same, but that the other has used one parameter more."""
    monkeypatch.setattr(ranks, "total", lambda tensor: tensor.mul_(2))
    monkeypatch.setattr(ranks, "agreed", lambda *flags: [*map(float, flags[:2]), 1.0])
    used, unused, other = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(5))
    frozen = nn.Parameter(torch.arange(3), requires_grad=False)
    used.grad, loss = torch.arange(6.0).reshape(2, 3), torch.tensor(1.5)
    share_gradients([used, frozen, unused, other], loss)
    assert torch.equal(used.grad, 2 * torch.arange(6.0).reshape(2, 3)) and float(loss) == 3
    assert other.grad is not None and torch.equal(other.grad, torch.zeros(5))
    assert unused.grad is None and frozen.grad is None


SCRIPT = """
import torch
from bench.training import ranks

for attempt in range(2):
    with ranks.joined("cpu", 2):
        mine = ranks.rank()
        assert ranks.count() == 2 and ranks.is_main() == (mine == 0)
        assert ranks.total(torch.tensor([1.0, mine])).tolist() == [2.0, 1.0]
        assert ranks.agreed(mine, -mine) == [1.0, 0.0]
        assert ranks.tallied(mine, 3 + mine) == (1.0, 7)
        assert ranks.gathered(("rank", mine)) == [("rank", 0), ("rank", 1)]
        assert list(ranks.mine(range(5))) == [[0, 2, 4], [1, 3]][mine]
        ranks.barrier()
    assert (ranks.rank(), ranks.count()) == (0, 1)
print("ok")
"""


def test_a_run_of_one_rank_joins_no_group_of_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "9"}
    for variable, value in others.items():
        monkeypatch.setenv(variable, value)
    with ranks.joined("cpu", 1):
        assert ranks.is_main() and ranks.count() == 1


@pytest.mark.usefixtures("warm_interpreters")
def test_two_processes_join_and_leave_and_join_again() -> None:
    """As those of a Slurm task do that finds its run held by another."""
    both(SCRIPT)


def both(script: str, *arguments: str) -> None:
    """Run a script as two ranks; each says "ok"."""
    assert outputs_of_two_ranks(script, *arguments) == ["ok\n", "ok\n"]


STATE = """
import os
import sys
from pathlib import Path
import torch
from test_phases import pair
from bench.config.registry import baselines, networks
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.methods.baseline import About
from bench.training import checkpoint, ranks
from bench.training.trainer import Trainer

folder = Path(sys.argv[1])
data = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
dataset = Dataset("d", "1", data, data)
options = {"reflow": {"reuse": 2, "steps": 3}, "consistency": {"stages": 2, "sigma_data": 1.0}}

class Make:
    def network(self, shape=(2,), **inputs):
        return networks["mlp"](shape, width=8, depth=1, **inputs)

def trainer(name, kind="whole"):
    settings = {"micro_batch": 4, "ema": 0.9, "clip_relative": 1.1, "lr": 1e-2, "shard_optimizer": kind == "sharded"}
    if name == "pair":
        return pair(dataset, **settings)
    torch.manual_seed(1)
    method = baselines[name](**options.get(name, {}))
    settings = Training(steps=4, batch=16, **settings)
    return Trainer("r", settings, method, method.build(Make(), About((2,))), dataset, 5)

def trained(one, steps):
    while one.step < steps:
        one.take_step()
    return one

def close(a, b, **tolerance):
    for key in ("module", "average", "buffers", "optimizer", "other_optimizers", "clippings"):
        torch.testing.assert_close(a[key], b[key], **tolerance)

for name, kinds in {**dict.fromkeys(sys.argv[2:], ["whole"]), "pair": ["whole", "sharded"]}.items():
    alone = trained(trainer(name), 3)
    if os.environ["RANK"] == "0":
        alone.save(folder / "alone.pt")
    alone = checkpoint.state(trained(alone, 4))
    with ranks.joined("cpu", 2):
        for kind in kinds:
            first = trained(trainer(name, kind), 3)
            first.save(folder / f"{kind}.pt")
            ends = {}
            for origin in (kind, "alone"):
                ranks.barrier()
                again = trainer(name, kind)
                assert again.restore(folder / f"{origin}.pt", lambda text: None)
                ends[origin] = checkpoint.state(trained(again, 4))
            end = checkpoint.state(trained(first, 4))
            assert end["nfe"] == ends[kind]["nfe"] == alone["nfe"]
            if ranks.is_main():
                close(end, ends[kind], rtol=0, atol=0)
                close(end, ends["alone"])
                close(end, alone)
    if os.environ["RANK"] == "0":
        for kind in kinds:
            back = trainer(name)
            assert back.restore(folder / f"{kind}.pt", lambda text: None)
            close(checkpoint.state(trained(back, 4)), alone)
print("ok")
"""


@pytest.mark.usefixtures("warm_interpreters")
def test_phases_and_state_go_on_bit_for_bit_with_two_ranks_and_from_one_to_two_and_back(tmp_path: Path) -> None:
    """With each rank's moments whole, and with those of its share alone.

    Methods with phases, a teacher that the flow becomes halfway, stages, or targets of their own.
    """
    both(STATE, str(tmp_path), "gan", "reflow", "consistency", "shortcut", "meanflow", "vae")


def test_a_rank_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(UsageError, match=r"^--gpus: rank 1 of this machine has no GPU; there are 1$"),
        ranks.joined("cuda", 2),
    ):
        pass


def test_a_rank_that_meets_nobody_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": "1"}
    for variable, value in group.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(ranks, "MEETING", datetime.timedelta(seconds=1))
    with pytest.raises(RuntimeError, match="timed out"), ranks.joined("cpu", 2):
        pass
    assert ranks.count() == 1


def test_a_checkpoint_that_one_rank_does_not_see_is_left_alone(
    points: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system of several machines may be behind: that is no damage."""
    monkeypatch.setattr(ranks, "_rank", 1)
    monkeypatch.setattr(ranks, "agreed", lambda *values: [1.0 for _ in values])
    trainer = Trainer("the-run", Training(steps=2), FlowMatchingOT(), mlp((2,), width=8, depth=1), points, 0)
    with pytest.raises(FileNotFoundError):
        trainer.restore(tmp_path / "checkpoint.pt", lambda text: None)
