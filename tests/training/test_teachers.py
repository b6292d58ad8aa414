"""A teacher: the frozen averaged weights of a run or of a file, known by their hash to the record of the student."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import SUITE, runs
from torch import Tensor, nn

from bench.config import components
from bench.config.registry import baselines
from bench.config.suite import Run
from bench.errors import NotApplicable, UsageError
from bench.evaluation.stages import Stages
from bench.identity import inputs
from bench.launch.job import Job
from bench.methods.baseline import About, Make, register_baseline
from bench.methods.batch import Batch, Context
from bench.methods.flow import FlowBaseline
from bench.methods.ode import VelocityField
from bench.records.records import stands, write_stage
from bench.training.build import Build, build
from bench.training.trainer import Trainer

PLAIN = SUITE.replace("{ steps = 6, batch = 16 }", "{ steps = 6, batch = 16, ema = 0.5 }")


@dataclass(frozen=True)
class Student(FlowBaseline):
    """Learns the teacher's velocity at t = 1/2."""

    teacher: str = ""

    def build(self, make: Make, data: About) -> nn.Module:
        return nn.ModuleDict({"teacher": make.pretrained(self.teacher), "student": make.network()})

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        half = torch.full((len(batch),), 0.5)
        return (net["student"](half, batch.x) - net["teacher"](half, batch.x)).square().mean(1)

    def velocity(self, net: Any) -> VelocityField:
        return lambda t, x: net["student"](t.expand(len(x)), x)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register_baseline("student", label="Student")(Student)
    yield
    baselines._entries.pop("student")


def trained(root: Path, run: Run, data_dir: Path, status: str | None = "ok") -> Trainer:
    """Three steps of a run, their checkpoint and their record."""
    dataset = components.build_dataset(run.dataset, data_dir)
    module, _ = build(run, dataset, root, data_dir)
    trainer = Trainer(run.run_id, run.training, components.build_baseline(run.baseline), module, dataset, run.seed)
    for _ in range(3):
        trainer.take_step()
    folder = root / "runs" / run.run_id
    folder.mkdir(parents=True)
    trainer.save(folder / "checkpoint.pt")
    if status:
        write_stage(root, run, "train", [], {}, error=None if status == "ok" else "it diverged")
    return trainer


def taught_by(run: Run) -> Run:
    return Run.model_validate(run.model_dump() | {"baseline": {"name": "student", "teacher": run.run_id}})


def make_of(run: Run, root: Path, data_dir: Path) -> Build:
    return Build(run.network, components.build_dataset(run.dataset, data_dir), root, data_dir)


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_of_a_run_and_of_its_checkpoint_the_averaged_weights_are_taken(tmp_path: Path) -> None:
    run = runs(tmp_path, PLAIN)[0]
    trainer, make = trained(tmp_path, run, tmp_path), make_of(run, tmp_path, tmp_path)
    path = tmp_path / "runs" / run.run_id / "checkpoint.pt"
    for teacher in (run.run_id, str(path)):
        before = torch.get_rng_state()
        module = make.pretrained(teacher)
        assert torch.equal(torch.get_rng_state(), before)
        assert equal(module, trainer.average.frozen()) and not equal(module, trainer.module)
        assert not module.training and not any(p.requires_grad for p in module.parameters())
        assert make.teachers == inputs.described([str(path)])


def test_a_file_of_tensors_is_for_the_network_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs(tmp_path)[0]
    make = make_of(run, tmp_path, tmp_path)
    module = make.network()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    for name in ("weights.pt", "weights.safetensors"):
        (taught,) = runs(tmp_path, PLAIN, baselines=["student"], settings={"student.teacher": name})
        assert taught.baseline.options["teacher"] == str(tmp_path / name)
        assert equal(make.pretrained(taught.baseline.options["teacher"]), module)


def test_what_is_no_teacher_is_refused_in_one_line(tmp_path: Path) -> None:
    run, other = runs(tmp_path)
    make = make_of(run, tmp_path, tmp_path)

    def refused(teacher: str, reason: str) -> None:
        with pytest.raises(UsageError, match=reason) as error:
            make.pretrained(teacher)
        assert "\n" not in str(error.value)

    refused(run.run_id, rf"^teacher = {run.run_id}: its training has not ended in .*; run its baseline first$")
    trained(tmp_path, other, tmp_path, status="failed")
    refused(other.run_id, "its training has failed in ")
    refused("nobody.pt", r"^teacher = nobody\.pt: expected the id of a trained run or a file; there is no nobody\.pt$")
    for name, content, reason in (
        ("text.pt", b"hello", r"text\.pt: it holds no tensors: "),
        ("list.pt", [1], r"list\.pt: a list; expected a checkpoint or a state_dict$"),
        ("others.pt", nn.Linear(1, 1).state_dict(), r"others\.pt: not the weights of this network: .*weight"),
        (
            "lost.pt",
            {k: v / 0 for k, v in make.network().state_dict().items()},
            r"lost\.pt: its weights are not finite$",
        ),
    ):
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        refused(str(path), reason)
    trained(tmp_path, run, tmp_path)
    path = tmp_path / "runs" / run.run_id / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    refused(run.run_id, r"checkpoint\.pt: its content is not what its digest says")
    path.unlink()
    refused(run.run_id, r"there is no .*checkpoint\.pt$")


def test_a_student_learns_from_it_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    run = runs(tmp_path, PLAIN)[0]
    teacher = trained(tmp_path, run, tmp_path).average.frozen()
    student = taught_by(run)
    module, files = build(student, components.build_dataset(run.dataset, tmp_path), tmp_path, tmp_path)
    assert len(files) == 1 and isinstance(module, nn.ModuleDict)
    assert equal(module["student"], build(run, components.build_dataset(run.dataset, tmp_path), tmp_path, tmp_path)[0])
    dataset = components.build_dataset(run.dataset, tmp_path)
    trainer = Trainer("r", run.training, components.build_baseline(student.baseline), module, dataset, 0)
    first = float(trainer.take_step())
    for _ in range(20):
        last = float(trainer.take_step())
    assert last < first and equal(module["teacher"], teacher)
    assert trainer.evaluations() == 2 * 21


def student_of(run: Run, root: Path) -> Trainer:
    """A student in training, as the stages of its run make it."""
    student, dataset = taught_by(run), components.build_dataset(run.dataset, root)
    module, files = build(student, dataset, root, root)
    trainer = Trainer("r", run.training, components.build_baseline(student.baseline), module, dataset, 0)
    trainer.teachers = sorted(file["sha256"] for file in files.values())
    return trainer


def test_a_checkpoint_of_another_teacher_is_set_aside_and_said(tmp_path: Path) -> None:
    run = runs(tmp_path, PLAIN)[0]
    teacher, path = trained(tmp_path, run, tmp_path), tmp_path / "student.pt"
    first, said = student_of(run, tmp_path), list[str]()
    first.take_step()
    first.save(path)
    again = student_of(run, tmp_path)
    assert again.restore(path, said.append) and said == ["resumed at step 1"]
    teacher.take_step()
    teacher.save(tmp_path / "runs" / run.run_id / "checkpoint.pt")
    said.clear()
    later = student_of(run, tmp_path)
    assert not later.restore(path, said.append) and later.step == 0
    assert said == ["checkpoint student.pt cannot be used (it is of another teacher); kept as student.older"]
    assert equal(later.module["teacher"], teacher.average.frozen()) and (tmp_path / "student.older").exists()


def test_a_teacher_is_known_by_what_was_loaded_wherever_its_file_lies(tmp_path: Path) -> None:
    """A hidden file too, which is no input where it is merely opened; what happens to it later changes nothing."""
    run = runs(tmp_path)[0]
    make, path = make_of(run, tmp_path, tmp_path), tmp_path / ".weights.pt"
    torch.save(make.network().state_dict(), path)
    content = path.read_bytes()
    make.pretrained(str(path))
    path.write_bytes(b"another")
    assert make.teachers[str(path)]["sha256"] == hashlib.sha256(content).hexdigest()
    assert make.teachers[str(path)]["size"] == len(content)


def test_a_file_that_is_another_than_the_run_was_planned_with_is_refused(tmp_path: Path) -> None:
    run, path = runs(tmp_path)[0], tmp_path / "weights.pt"
    network = make_of(run, tmp_path, tmp_path).network()
    torch.save(network.state_dict(), path)
    planned = {"baseline": {"name": "student", "teacher": str(path)}, "teacher_sha256": inputs.sha256(str(path))}
    student, dataset = Run.model_validate(run.model_dump() | planned), components.build_dataset(run.dataset, tmp_path)
    assert list(build(student, dataset, tmp_path, tmp_path)[1]) == [str(path)]
    torch.save({key: value + 1 for key, value in network.state_dict().items()}, path)
    with pytest.raises(UsageError, match=rf"^teacher = {path}: its SHA-256 is \w+\.\.\., but it was \w+\.\.\. when"):
        build(student, dataset, tmp_path, tmp_path)


@pytest.mark.slow
def test_a_student_whose_teacher_was_trained_anew_is_stale(tmp_path: Path) -> None:
    run = runs(tmp_path, PLAIN.replace("evaluation.likelihood = { n = 20, batch = 20 }\n", ""))[0]
    student = taught_by(run)
    teaching, taught = Job(run, tmp_path / "results", tmp_path), Job(student, tmp_path / "results", tmp_path)
    assert (teaching(), taught()) == ("ok", "ok")
    record = json.loads((taught.folder / "train.json").read_text())
    assert list(record["inputs"]) == [str(teaching.checkpoint)]
    assert {found.state for found in stands(taught.root, student).values()} == {"done"}
    stages = Stages(taught, lambda text: None)
    quoted = {str(teaching.checkpoint): record["inputs"][str(teaching.checkpoint)]}
    assert stages.trainer.teachers == [quoted[str(teaching.checkpoint)]["sha256"]]
    trainer = torch.load(teaching.checkpoint, weights_only=True)
    torch.save({**trainer, "step": 0}, teaching.checkpoint)
    assert stands(taught.root, student)["train"].state == "stale"
    assert stages.facts()["inputs"] == quoted  # what it was taught by, whatever lies there by the end


# What a baseline builds.


@pytest.mark.parametrize(
    ("built", "rule"),
    [
        (lambda make: {"a": make.network()}, "gives a dict, not an nn.Module or an nn.ModuleDict"),
        (lambda make: make.network().requires_grad_(False), "gives no parameter that can be trained"),
        (lambda make: make.nothing(), "AttributeError: 'Build' object has no attribute 'nothing'"),
    ],
)
def test_what_is_no_module_is_refused(tmp_path: Path, built: Any, rule: str) -> None:
    @dataclass(frozen=True)
    class Odd(Student):
        name = "odd"

        def build(self, make: Make, data: About) -> Any:
            return built(make)

    with pytest.raises(UsageError, match=rf"^baseline odd: build\(make, data\):? {rule}"):
        make_of(runs(tmp_path)[0], tmp_path, tmp_path).module(Odd())


def test_a_method_is_told_of_the_data(tmp_path: Path) -> None:
    told: list[About] = []

    class Asking(Student):
        def build(self, make: Make, data: About) -> nn.Module:
            told.append(data)
            return make.network()

    make_of(runs(tmp_path)[0], tmp_path, tmp_path).module(Asking())
    assert (told[0].shape, told[0].classes, told[0].given) == ((2,), None, None)


def test_a_method_may_say_that_the_data_is_not_for_it(tmp_path: Path) -> None:
    class Picky(Student):
        def build(self, make: Make, data: About) -> nn.Module:
            raise NotApplicable("it needs classes")

    with pytest.raises(NotApplicable, match=r"^it needs classes$"):
        make_of(runs(tmp_path)[0], tmp_path, tmp_path).module(Picky())


def test_a_student_of_what_is_not_for_the_data_is_not_for_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(tmp_path, PLAIN)[0]
    teacher = taught_by(run)
    for each in (run, teacher):
        write_stage(tmp_path, each, "train", [], {})

    def refuse(self: Student, make: Make, data: About) -> nn.Module:
        raise NotApplicable("it needs classes")

    monkeypatch.setattr(Student, "build", refuse)
    with pytest.raises(NotApplicable, match=r"^it needs classes$"):
        make_of(teacher, tmp_path, tmp_path).pretrained(teacher.run_id)
