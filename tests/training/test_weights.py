"""`training.weights`: a run of weights that were trained elsewhere, known by their content."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import SUITE, runs, write_suite
from torch import nn

import run_all
from bench import FlowBaseline, NotApplicable, VelocityField, register_baseline
from bench.config import components
from bench.config.suite import Run
from bench.errors import UsageError
from bench.evaluation.stages import Stages
from bench.launch.job import Job
from bench.methods.baseline import About, Make
from bench.methods.network import CountedNetwork
from bench.records.planned import write_plan
from bench.records.records import read_stage, stands, write_stage
from bench.training.build import build, check_weights
from bench.training.trainer import Trainer
from bench.training.weights import load, tensors

PLAIN = SUITE.replace("{ steps = 6, batch = 16 }", "{ steps = 6, batch = 16, ema = 0.5 }")


def module_of(run: Run, folder: Path) -> nn.Module:
    return build(run, components.build_dataset(run.dataset, folder), folder, folder)[0]


def of(weights: Path, folder: Path, text: str = PLAIN, **more: Any) -> Run:
    return runs(folder, text, baselines=["fm_ot"], settings={"training.weights": str(weights), **more})[0]


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    """Of three steps, whose averaged weights are not those of the last."""
    run = runs(tmp_path, PLAIN)[0]
    dataset = components.build_dataset(run.dataset, tmp_path)
    found = Trainer("r", run.training, components.build_baseline(run.baseline), module_of(run, tmp_path), dataset, 0)
    for _ in range(3):
        found.take_step()
    return found


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("name", ["checkpoint.pt", "state.pt", "state.safetensors"])
def test_weights_of_any_format_are_the_module_and_the_averaged_ones_are_taken(
    trainer: Trainer, tmp_path: Path, name: str
) -> None:
    frozen = trainer.average.frozen()
    assert not equal(frozen, trainer.module)
    if name == "checkpoint.pt":
        trainer.save(tmp_path / name)
    elif name == "state.pt":
        torch.save(frozen.state_dict(), tmp_path / name)
    else:
        save_file(tensors(frozen), tmp_path / name)
    assert equal(module_of(of(tmp_path / name, tmp_path), tmp_path), frozen)


def test_buffers_that_no_state_dict_has_are_weights_too(tmp_path: Path) -> None:
    class Counting(nn.Linear):
        def __init__(self, count: float) -> None:
            super().__init__(1, 1)
            self.register_buffer("count", torch.tensor(count), persistent=False)

    save_file(tensors(Counting(3.0)), tmp_path / "a.safetensors")
    module = Counting(0.0)
    load(module, tmp_path / "a.safetensors")
    assert float(module.count) == 3.0


def test_a_run_of_weights_is_known_by_their_content_wherever_they_lie(trainer: Trainer, tmp_path: Path) -> None:
    first, second = tmp_path / "a.pt", tmp_path / "elsewhere.pt"
    trainer.save(first)
    second.write_bytes(first.read_bytes())
    run = of(first, tmp_path)
    assert run.run_id == of(second, tmp_path).run_id != runs(tmp_path, PLAIN)[0].run_id
    assert run.run_id == of(first, tmp_path, **{"training.steps": 99, "training.lr": 1.0}).run_id
    assert (run.training.steps, run.training.ema, run.training.budget) == (None, 0.5, "weights of a.pt")
    trainer.take_step()
    trainer.save(second)
    assert run.run_id != of(second, tmp_path).run_id
    module_of(run, tmp_path)
    first.write_bytes(second.read_bytes())
    with pytest.raises(UsageError, match=r"^training\.weights = .*a\.pt: its SHA-256 is \w+\.\.\., but it was \w+"):
        module_of(run, tmp_path)


def test_the_runs_of_before_are_the_same_runs(tmp_path: Path) -> None:
    """The ids as they were before there was the setting."""
    assert [run.run_id for run in runs(tmp_path)] == ["checkerboard-fm_ot-f77a1f-s0", "checkerboard-ddpm-70436c-s0"]


def test_what_is_no_weights_is_one_line_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = module_of(runs(tmp_path, PLAIN)[0], tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.safetensors").write_bytes(b"hello")
    for name, content, reason in (
        ("nowhere.pt", None, r"training\.weights = .*: there is no file or folder .*nowhere\.pt"),
        ("folder", None, r"a folder is one that a diffusers pipeline saved; there is no .*config\.json"),
        ("text.safetensors", None, r"text\.safetensors: it holds no tensors: "),
        ("list.pt", [1], r"list\.pt: a list; expected a checkpoint or a state_dict"),
        ("others.pt", nn.Linear(1, 1).state_dict(), r"others\.pt: not the weights of this network: .*weight"),
        ("lost.pt", {k: v / 0 for k, v in module.state_dict().items()}, r"lost\.pt: its weights are not finite"),
    ):
        path = tmp_path / name
        if content is not None:
            torch.save(content, path)
        with pytest.raises(UsageError, match=reason) as error:
            check_weights([of(path, tmp_path)], tmp_path, tmp_path)
        assert "\n" not in str(error.value)
    results = tmp_path / "results"
    arguments = ["--suite", str(tmp_path / "tiny.toml"), "--results", str(results), "--baselines", "fm_ot"]
    assert run_all.main([*arguments, "--set", f"training.weights={tmp_path / 'others.pt'}"]) == 2
    assert "not the weights of this network" in capsys.readouterr().err and not results.exists()
    with pytest.raises(UsageError, match=r"training\.wieghts: unknown|unknown key 'wieghts'"):
        of(tmp_path / "lost.pt", tmp_path, **{"training.wieghts": 1})


@pytest.mark.usefixtures("own_baselines")
def test_a_method_that_is_not_for_the_data_is_refused_by_no_check(tmp_path: Path) -> None:
    """Its records say why."""

    @dataclass(frozen=True)
    class Picky(FlowBaseline):
        def build(self, make: Make, data: About) -> nn.Module:
            raise NotApplicable("it needs classes")

        def loss(self, net: Any, batch: Any, ctx: Any) -> torch.Tensor:
            return batch.x.mean(1)

        def velocity(self, net: Any) -> VelocityField:
            return lambda t, x: net(t, x)

    register_baseline("picky", label="Picky")(Picky)
    torch.save({}, path := tmp_path / "any.pt")
    (run,) = runs(tmp_path, PLAIN, baselines=["picky"], settings={"training.weights": str(path)})
    check_weights([run], tmp_path, tmp_path)


def test_a_run_is_looked_at_without_its_weights_but_none_starts(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands as the plan has it, in the place of old and in another, where a relative path ends alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").mkdir()
    save_file(tensors(trainer.module), "w/a.safetensors")
    run, root = of(Path("w/a.safetensors"), tmp_path), tmp_path / "results" / "tiny"
    write_plan(root, "", [run])
    for stage in run.stages:
        write_stage(root, run, stage, [], {"label": "FM"})
    (tmp_path / "w").rename(tmp_path / "gone")
    call = ["--suite", "tiny.toml", "--set", "training.weights=w/a.safetensors", "--results", str(root.parent)]
    for place in (tmp_path, tmp_path / "elsewhere"):
        place.mkdir(exist_ok=True)
        write_suite(place, PLAIN.replace('["fm_ot", "ddpm"]', '["fm_ot"]').replace("overrides.ddpm", "#"))
        monkeypatch.chdir(place)
        assert run_all.main([*call, "--status"]) == 0 and "1 ok" in capsys.readouterr().out
        assert run_all.main([*call, "--dry-run"]) == 0 and "finished  checkerboard" in capsys.readouterr().out
    (root / "runs" / run.run_id / "samples.json").unlink()
    assert run_all.main([*call, "--status"]) == 0 and f"missing  {run.run_id}" in capsys.readouterr().out
    gone = rf"{run.run_id}: training.weights = '{tmp_path}/w/a.safetensors': there is no such file or folder any more"
    for action in (["--dry-run"], []):
        assert run_all.main([*call, *action]) == 2 and gone in capsys.readouterr().err
    call[3] = "training.weights=v/a.safetensors"
    assert run_all.main([*call, "--status"]) == 2 and "there is no file or folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_weights_is_evaluated_as_the_run_that_trained_them(tmp_path: Path) -> None:
    root, trained = tmp_path / "results", runs(tmp_path, PLAIN)[0]
    assert Job(trained, root, tmp_path)() == "ok"
    weights = root / "runs" / trained.run_id / "checkpoint.pt"
    run = of(weights, tmp_path)
    job = Job(run, root, tmp_path)
    assert job() == "ok" and {found.state for found in stands(root, run).values()} == {"done"}
    for stage in ("likelihood", "samples"):
        rows = [(read_stage(root, each.run_id, stage) or {})["measurements"] for each in (trained, run)]
        kept = [
            [(r["metric"], r["value"], r["settings"]) for r in found if r["unit"] not in ("s", "bytes")]
            for found in rows
        ]
        assert kept[0] == kept[1]
    record = read_stage(root, run.run_id, "train") or {}
    values = {row["metric"]: (row["value"], row["reason"]) for row in record["measurements"]}
    why = "not applicable: trained elsewhere (weights of checkpoint.pt)"
    assert values.pop("steps") == (0, None) and {reason for _, reason in values.values()} == {why}
    assert record["label"] == "FM w/ OT, weights of checkpoint.pt" and (record["steps"], record["global_batch"]) == (
        0,
        0,
    )
    assert str(weights) in record["inputs"]
    again = Stages(job, lambda text: None)
    assert again.trained and equal(again.trainer.module, module_of(run, tmp_path))
    net = CountedNetwork(again.trainer.module)
    assert net(torch.tensor([0.5]), torch.zeros(1, 2)).isfinite().all()
