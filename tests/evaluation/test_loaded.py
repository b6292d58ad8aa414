"""`bench.load`: what a run has trained, from its folder and from the one file that --export writes."""

import math
import re
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import HEAD, SUITE, runs
from torch import Tensor, nn

import bench
import run_all
from baselines.edm import EDM
from baselines.fm_ot import FlowMatchingOT
from bench import (
    Context,
    Diverged,
    FlowBaseline,
    NotApplicable,
    Sampler,
    Solver,
    UsageError,
    log_density,
    register_baseline,
)
from bench.config import components
from bench.config.suite import Run
from bench.datasets.deviation import deviation
from bench.identity import identity
from bench.launch.job import Job
from bench.methods.baseline import About, Baseline, Make, Phase
from bench.methods.batch import Batch
from bench.methods.model import Model
from bench.methods.ode import VelocityField
from bench.records.records import read_stage, record_path, write_stage
from bench.records.seal import read_arrays, write_json
from bench.training.build import build
from bench.training.seeds import normal, on_dataset
from bench.training.trainer import Trainer

PLAIN = SUITE.replace("{ steps = 6, batch = 16 }", "{ steps = 6, batch = 16, ema = 0.5 }")
DIGITS = """
protocol = "smoke"
[[experiments]]
dataset = "digits"
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["BASELINE"]
training = { steps = 2, batch = 16, ema = 0.5 }
"""


def trained(run: Run, data_dir: Path, root: Path) -> Trainer:
    """A few steps of a run, their checkpoint and record."""
    dataset = components.build_dataset(run.dataset, data_dir)
    module, _ = build(run, dataset, root, data_dir)
    method: Any = module.method
    trainer = Trainer(run.run_id, run.training, method, module, dataset, run.seed)
    for _ in range(3):
        trainer.take_step()
    trainer.save(root / "runs" / run.run_id / "checkpoint.pt")
    parameters = sum(p.numel() for p in trainer.parameters if p.requires_grad)
    facts = {"label": method.label, "parameters": parameters, "steps": 3, "options": components.resolved(method)}
    facts["dataset_version"] = f"{dataset.version}:{dataset.checksum}"
    write_stage(root, run, "train", [], {**facts, "commit": "abc"})
    return trainer


def both(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[Any]:
    """The model from the run's folder, and from its file in a place without results and data."""
    monkeypatch.chdir(folder)
    assert run_all.main(["--export", run.run_id, "--results", "results", "--data-dir", str(folder)]) == 0
    nowhere = folder / "nowhere"
    nowhere.mkdir()
    Path(f"{run.run_id}.safetensors").rename(nowhere / "weights.safetensors")
    of_folder = bench.load(folder / "results" / "tiny" / "runs" / run.run_id, data_dir=folder)
    (folder / "results").rename(folder / "gone")
    return [of_folder, bench.load(nowhere / "weights.safetensors", data_dir=nowhere)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results" / "tiny"


def test_a_file_says_all_that_a_folder_does(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs(tmp_path, PLAIN)[0]
    trainer = trained(run, tmp_path, root)
    before = torch.get_rng_state()
    models = both(run, tmp_path, monkeypatch)
    assert torch.equal(torch.get_rng_state(), before)
    x, t = torch.randn(5, 2), torch.tensor(0.3)
    expected = trainer.average.frozen()(t.expand(5), x)
    for model in models:
        assert torch.equal(model.velocity(0.3, x), expected) and model.nfe == 1
        assert (model.run_id, model.label, model.dataset, model.shape) == (run.run_id, "FM w/ OT", "checkerboard", (2,))
        assert model.settings["baseline"]["options"] == asdict(FlowMatchingOT()) and model.facts["commit"] == "abc"
        assert model.facts["dataset_version"].startswith(components.build_dataset(run.dataset, tmp_path).version)
        assert f"{model}" == f"<FM w/ OT on checkerboard: {model.parameters} parameters, run {run.run_id}>"
        assert model.parameters == sum(p.numel() for p in trainer.parameters)
    a, b = (model.sample(7, sampler={"name": "euler", "steps": 4}, batch=3) for model in models)
    assert torch.equal(a, b) and a.shape == (7, 2) and models[1].nfe == 4
    torch.testing.assert_close(models[0].sample(7, sampler={"name": "euler", "steps": 4}), a, rtol=1e-5, atol=1e-5)
    assert not torch.equal(models[0].sample(7, {"name": "euler", "steps": 4}, seed=1), a)
    torch.testing.assert_close(*(model.log_prob(a) for model in models), rtol=0, atol=0)


def test_samples_start_from_the_noise_of_a_run_of_their_seed_on_the_dataset(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(tmp_path, PLAIN)[0]
    net = trained(run, tmp_path, root).average.frozen()
    for model in both(run, tmp_path, monkeypatch):
        x0 = normal((2,), on_dataset(3, run.dataset), "samples", 0, 4)
        found = model.sample(4, sampler={"name": "euler", "steps": 1}, seed=3, batch=4)
        expected = x0 + net(torch.zeros(4), x0)
        torch.testing.assert_close(found, components.build_dataset(run.dataset, tmp_path).decode(expected.detach()))


def test_what_a_method_measures_of_the_data_goes_along(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(tmp_path, PLAIN, baselines=["edm"])[0]
    trainer = trained(run, tmp_path, root)
    found = deviation(components.build_dataset(run.dataset, tmp_path))
    x, method = torch.randn(5, 2), EDM(sigma_data=found)
    expected = method.velocity(trainer.average.frozen())(torch.tensor(0.3), x)
    for model in both(run, tmp_path, monkeypatch):
        assert torch.equal(model.velocity(0.3, x), expected)


def test_log_prob_integrates_to_one_and_samples_are_of_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(tmp_path, PLAIN)[0]
    trained(run, tmp_path, root)
    model = bench.load(root / "runs" / run.run_id, data_dir=tmp_path)
    axis = torch.linspace(-7, 7, 57)
    grid = torch.cartesian_prod(axis, axis)
    density = model.log_prob(grid, batch=4000).exp()
    assert density.dtype == torch.float64
    assert float(density.sum()) * (14 / 56) ** 2 == pytest.approx(1, abs=0.01)
    mean = (density[:, None] * grid).sum(0) / density.sum()
    torch.testing.assert_close(model.sample(2000).double().mean(0), mean, rtol=0, atol=0.12)


@pytest.mark.slow
def test_numbers_are_those_of_the_run(tmp_path: Path) -> None:
    """Its NLL is the mean of log_prob, of points and in bits per dimension, and its samples are the first ones."""
    likelihood = {"batch": 20, "solvers": [{"method": "midpoint", "steps": 4}], "divergence": "hutchinson"}
    written = 'n = 20, batch = 20, solvers = [{ method = "midpoint", steps = 4 }], divergence = "hutchinson"'
    digits = DIGITS.replace("BASELINE", "fm_ot") + f"evaluation.likelihood = {{ {written} }}\n"
    for text, settings in ((PLAIN, {"batch": 20}), (digits, likelihood)):
        run = runs(tmp_path, text)[0]
        job = Job(run, tmp_path / "results", tmp_path)
        assert job() == "ok"
        model, data = bench.load(job.folder, data_dir=tmp_path), components.build_dataset(run.dataset, tmp_path)
        x = data.pixels(data.test[:20]) if data.is_image else data.test[:20]
        torch.testing.assert_close(model.encode(x), data.encode(data.test[:20]))
        assert model.velocity(0.5, model.encode(x)).shape == model.encode(x).shape
        if data.is_image:
            with pytest.raises(UsageError, match=r"^x: pixels; in model space they are model\.encode\(x\)$"):
                model.velocity(0.5, x)
        value = -float(model.log_prob(x, **settings).mean())
        rows = {row["metric"]: row for row in (read_stage(job.root, run.run_id, "likelihood") or {})["measurements"]}
        assert model.nfe == rows["nfe_likelihood"]["value"]
        if data.is_image:
            assert value / (math.log(2) * data.dim) == pytest.approx(rows["nll_bpd"]["value"], abs=1e-9)
        else:
            assert value == pytest.approx(rows["nll_nats"]["value"], abs=1e-9)
            drawn, shown = model.sample(40, batch=40), read_arrays(job.folder / "samples.npz")["samples"]
            np.testing.assert_array_equal(drawn.numpy().astype(shown.dtype), shown)


def test_points_of_a_file_are_drawn_in_their_own_units_without_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scaling is in the file: x = shift + scale z, and log p(x) = log p(z) - sum ln scale."""
    values = np.array([[100.0, 0.01]]) + np.array([[30.0, 0.002]]) * np.random.default_rng(0).normal(size=(300, 2))
    np.save(tmp_path / "mine.npy", values)
    text = PLAIN.replace(
        '{ name = "checkerboard", n_train = 256, n_test = 40 }', '{ name = "points", path = "mine.npy" }'
    )
    run = runs(tmp_path, text)[0]
    trained(run, tmp_path, root)
    before, after = both(run, tmp_path, monkeypatch)
    x = after.sample(200)
    assert torch.equal(before.sample(200), x)
    data = components.build_dataset(run.dataset, tmp_path)
    scale = data.train.double().std(0, correction=0)
    assert data.space is not None and float((x.mean(0) - data.train.mean(0)).abs().max() / 30) < 1
    z = data.encode(x[:5])
    found = log_density(lambda t, y: after.velocity(t, y), z, 1.0, Solver()).log_p.double() - scale.log().sum()
    torch.testing.assert_close(after.log_prob(x[:5]), found, rtol=1e-5, atol=1e-5)


def test_points_that_are_given_something(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = '{ name = "two_moons", n_train = 256, n_test = 40 }'
    run = runs(tmp_path, PLAIN.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', data))[0]
    net = trained(run, tmp_path, root).average.frozen()
    for model in both(run, tmp_path, monkeypatch):
        x, c = torch.randn(3, 2), torch.tensor([0.1, -0.2])
        expected = net(torch.full((3,), 0.5), x, given=c.expand(3, 2))
        assert torch.equal(model.velocity(0.5, x, given=c), expected)
        assert torch.equal(model.velocity(0.5, x, given=c.expand(3, 2)), expected)
        drawn = model.sample(4, {"name": "euler", "steps": 3}, given=[0.1, -0.2])
        again = model.sample(4, {"name": "euler", "steps": 3}, given=c.expand(4, 2), batch=3)
        torch.testing.assert_close(again, drawn, rtol=1e-5, atol=1e-5)
        assert not torch.equal(model.log_prob(x, given=c), model.log_prob(x, given=-c))
        for given, had in ((None, "None"), (torch.zeros(3), r"\(3,\)")):
            with pytest.raises(UsageError, match=rf"^given.*{had}.* one or 4 of shape \(2,\) are needed$"):
                model.sample(4, given=given)


def test_samples_start_from_the_points_of_a_source(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = '{ name = "sf2m_moons_to_8gaussians", n_train = 256, n_test = 40 }'
    run = runs(tmp_path, PLAIN.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', data))[0]
    net = trained(run, tmp_path, root).average.frozen()
    dataset = components.build_dataset(run.dataset, tmp_path)
    x0 = dataset.source.points("test")[:5]  # type: ignore[union-attr]
    for model in both(run, tmp_path, monkeypatch):
        x = model.sample(5, {"name": "euler", "steps": 1})
        torch.testing.assert_close(x, x0 + net(torch.zeros(5), x0))
        with pytest.raises(UsageError, match=r"^sample: n = 41: from 1 on, and to 40, the points that samples"):
            model.sample(41)
        with pytest.raises(NotApplicable):
            model.sample(5, "ddim")


@dataclass(frozen=True)
class Told(FlowBaseline):
    """With classes: the network of two parts, one of which is guided."""

    phases = (Phase("loss", "net"), Phase("other", "critic"))

    def build(self, make: Make, data: About) -> nn.Module:
        return nn.ModuleDict({"net": make.network(classes=data.classes), "critic": make.network(time=False, out=1)})

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return (net["net"](torch.full((len(batch),), 0.5), batch.x) - batch.x).flatten(1).square().mean(1)

    def other(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return net["critic"](batch.x).square().flatten(1).mean(1)

    def velocity(self, net: Any) -> VelocityField:
        def field(t: Tensor, x: Tensor) -> Tensor:
            of_class, of_none = net["net"](t.expand(len(x)), x), net["net"](t.expand(len(x)), x, labels=None)
            return 2 * of_class - of_none

        return field


@dataclass(frozen=True)
class Student(FlowBaseline):
    teacher: str = ""

    def build(self, make: Make, data: About) -> nn.Module:
        return nn.ModuleDict({"teacher": make.pretrained(self.teacher), "student": make.network()})

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        half = torch.full((len(batch),), 0.5)
        return (net["student"](half, batch.x) - net["teacher"](half, batch.x)).square().mean(1)

    def velocity(self, net: Any) -> VelocityField:
        return lambda t, x: net["student"](t.expand(len(x)), x) + net["teacher"](t.expand(len(x)), x)


@dataclass(frozen=True)
class OneShot(Baseline):
    """A generator of one pass without a density."""

    def build(self, make: Make, data: About) -> nn.Module:
        return make.network(time=False)

    def loss(self, net: Any, batch: Batch, ctx: Context) -> Tensor:
        return (net(batch.x) - batch.x).square().mean(1)

    def model(self, net: Any) -> Model:
        return Model(samplers={"one": lambda x0, rng: net(x0)}, absent={"log_prob": "a generator has no density"})


@pytest.fixture
def registered(own_baselines: None) -> None:
    for cls in (Told, Student, OneShot):
        register_baseline(cls.__name__.lower(), label=cls.__name__)(cls)


def test_classes_and_modules_of_several_parts(
    registered: None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(tmp_path, DIGITS.replace("BASELINE", "told"))[0]
    trainer = trained(run, tmp_path, root)
    for model in both(run, tmp_path, monkeypatch):
        assert model.classes == 10
        sampler, net = {"name": "euler", "steps": 2}, trainer.average.frozen()["net"]
        x = model.sample(6, sampler, labels=3)
        assert x.dtype == torch.uint8 and x.shape == (6, 1, 8, 8) and model.nfe == 4
        assert torch.equal(model.sample(6, sampler, labels=[3] * 6), x)
        assert not torch.equal(model.sample(6, sampler, labels=4), x)
        assert torch.equal(model.sample(6, sampler), model.sample(6, sampler))
        z, t = torch.randn(2, 1, 8, 8), torch.full((2,), 0.5)
        expected = 2 * net(t, z, labels=torch.tensor([1, 2])) - net(t, z, labels=None)
        assert torch.equal(model.velocity(0.5, z, labels=[1, 2]), expected)
        with pytest.raises(UsageError, match=r"^log_prob: labels = None: one or 6 of the classes 0 to 9$"):
            model.log_prob(x)
        with pytest.raises(UsageError, match=r"^labels: one or 6 of the classes 0 to 9, -1 is none$"):
            model.sample(6, sampler, labels=10)
        assert model.log_prob(x[:2], labels=3, divergence="hutchinson").isfinite().all()


def test_teachers_are_in_the_file(
    registered: None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = runs(tmp_path, PLAIN)[0]
    trained(teacher, tmp_path, root)
    student = Run.model_validate(teacher.model_dump() | {"baseline": {"name": "student", "teacher": teacher.run_id}})
    trainer = trained(student, tmp_path, root)
    frozen, x, t = trainer.average.frozen(), torch.randn(3, 2), torch.full((3,), 0.5)
    for model in both(student, tmp_path, monkeypatch):
        assert torch.equal(model.velocity(0.5, x), frozen["student"](t, x) + frozen["teacher"](t, x))


def test_what_a_model_lacks_is_not_applicable_with_its_reason(registered: None, root: Path, tmp_path: Path) -> None:
    run = runs(tmp_path, HEAD + 'baselines = ["oneshot"]\ntraining = { steps = 2, batch = 16 }\n')[0]
    trained(run, tmp_path, root)
    model = bench.load(root / "runs" / run.run_id, data_dir=tmp_path)
    assert model.sample(5).shape == (5, 2) and model.nfe == 1
    assert torch.equal(model.sample(5, "one"), model.sample(5))
    with pytest.raises(NotApplicable, match=r"^a generator has no density$"):
        model.log_prob(torch.zeros(1, 2))
    with pytest.raises(NotApplicable, match=r"^the model has no velocity$"):
        model.velocity(0.5, torch.zeros(1, 2))
    with pytest.raises(NotApplicable, match=r"^the model has no velocity$"):
        model.sample(5, "euler")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda model: model.sample(2, "eular"), r"^unknown sampler 'eular'; .*did you mean 'euler'"),
        (lambda model: model.sample(2, {"name": "euler", "step": 3}), r"^sampler euler: unknown option 'step'"),
        (lambda model: model.sample(2, labels=1), r"^labels = 1: the network is told no class; leave them out$"),
        (lambda model: model.sample(2, given=[1.0]), r"^given = \.\.\.: leave it out$"),
        (lambda model: model.log_prob(torch.zeros(2, 3)), r"^x: \(2, 3\) torch\.float32; \(n, 2\) of torch.float32"),
        (lambda model: model.log_prob(torch.zeros(2, 2), probe=1), r"^log_prob: unknown key 'probe'.*'probes'\?$"),
        (
            lambda model: model.log_prob(torch.zeros(2, 2), draws=50),
            r"^log_prob: unknown key 'draws'; known: batch, d",
        ),
        (lambda model: model.log_prob(torch.zeros(2, 2), n=1), r"^log_prob: unknown key 'n'; known: batch, divergence"),
        (lambda model: model.log_prob(torch.zeros(2, 2), solvers=[]), r"^log_prob: solvers = \[\]: one is needed$"),
        (lambda model: model.log_prob([[0.0, 1.0], [math.nan, 1.0]]), r"^x: 1 of 2 rows are not finite$"),
        (lambda model: model.log_prob("abc"), r"^x: a tensor, an array or a list of numbers is needed \("),
        (lambda model: model.log_prob([]), r"^x: \(0,\) torch\.float32; \(n, 2\) of torch"),
        (lambda model: model.sample(0), r"^sample: n = 0: from 1 on$"),
        (lambda model: model.sample(2.0), r"^sample: n = 2\.0: a whole number is needed$"),
        (lambda model: model.sample("2"), r"^sample: n = '2': a whole number is needed$"),
        (lambda model: model.sample(2, batch=0), r"^sample: batch = 0: from 1 on$"),
        (lambda model: model.sample(2, seed=-1), r"^seed = -1: from 0 on$"),
        (lambda model: model.sample(2, 3), r"^sampler = 3: Input should be a valid"),
        (lambda model: model.velocity(0.5, torch.zeros(3, 5)), r"^x: \(3, 5\); \(n, 2\) in model space is needed$"),
        (lambda model: model.velocity(0.5, "abc"), r"^x: a tensor, an array or a list of numbers is needed \("),
        (lambda model: model.velocity(torch.rand(3), torch.zeros(4, 2)), r"^t: \(3,\); one time or 4 are needed$"),
        (lambda model: model.velocity(1.5, torch.zeros(4, 2)), r"^t = 1\.5: from 0 to 1$"),
        (lambda model: model.velocity(math.nan, torch.zeros(4, 2)), r"^t = nan: from 0 to 1$"),
    ],
)
def test_what_cannot_be_asked_is_one_line(root: Path, tmp_path: Path, call: Any, reason: str) -> None:
    run = runs(tmp_path, PLAIN)[0]
    trained(run, tmp_path, root)
    with pytest.raises(UsageError, match=reason):
        call(bench.load(root / "runs" / run.run_id, data_dir=tmp_path))


@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99", 1.5])
def test_a_device_that_is_not_here_is_one_line(device: Any) -> None:
    with pytest.raises(UsageError, match=r'^device = .*: "cpu"'):
        bench.load("nowhere.safetensors", device=device)


@dataclass(frozen=True)
class Half(Sampler):
    """Zeros of which every second sample is NaN."""

    def sample(self, model: Model, x0: Tensor, rng: torch.Generator) -> Tensor:
        return torch.zeros_like(x0).index_fill(0, torch.arange(0, len(x0), 2), math.nan)


def test_images_that_are_not_finite_do_not_become_pixels(root: Path, tmp_path: Path) -> None:
    run = runs(tmp_path, DIGITS.replace("BASELINE", "fm_ot"))[0]
    trained(run, tmp_path, root)
    with pytest.raises(Diverged, match=r"^3 of 5 samples are not finite$"):
        bench.load(root / "runs" / run.run_id, data_dir=tmp_path).sample(5, Half())


def test_products_are_of_full_float32(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `velocity` as of what samples are drawn with, whatever is set around."""
    run = runs(tmp_path, PLAIN)[0]
    trained(run, tmp_path, root)
    model, seen = bench.load(root / "runs" / run.run_id, data_dir=tmp_path), list[tuple[str, bool]]()

    def look(*_: Any) -> None:
        seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))

    model._module.register_forward_hook(look)
    torch.set_float32_matmul_precision("high")
    try:
        x = np.zeros((3, 2))
        v = model.velocity(0.5, x)
        model.sample(3, {"name": "euler", "steps": 1})
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [("highest", False)] * 2
    assert torch.equal(v, model.velocity([0.5] * 3, torch.zeros(3, 2)))


def test_what_cannot_be_loaded_is_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = runs(tmp_path, PLAIN)
    trained(first, tmp_path, root)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(UsageError, match=r"text\.safetensors: expected the folder of a run, or a file that --export"):
        bench.load(tmp_path / "text.safetensors")
    (root / "runs" / second.run_id).mkdir()
    with pytest.raises(UsageError, match=rf"^{second.run_id}: its training has not ended in "):
        bench.load(root / "runs" / second.run_id)
    monkeypatch.chdir(tmp_path)
    assert run_all.main(["--export", first.run_id[:-1], "--results", "results"]) == 2
    assert f"did you mean '{first.run_id}'" in capsys.readouterr().err
    for more in (["--seeds", "3"], ["--cluster", "slurm"], ["--retry"], ["--wait"], ["--suite", "quick"]):
        assert run_all.main(["--export", first.run_id, "--results", "results", *more]) == 2
        assert f"--export: cannot be combined with {more[0]}\n" in capsys.readouterr().err
    assert run_all.main(["--export", "", "--results", "results"]) == 2
    assert "--export: unknown run ''" in capsys.readouterr().err
    (tmp_path / f"{first.run_id}.safetensors").write_text("mine")
    assert run_all.main(["--export", first.run_id, "--results", "results", "--data-dir", str(tmp_path)]) == 2
    assert f"there is a {first.run_id}.safetensors here already" in capsys.readouterr().err
    assert (tmp_path / f"{first.run_id}.safetensors").read_text() == "mine"
    (tmp_path / f"{first.run_id}.safetensors").unlink()
    (root / "runs" / first.run_id / "checkpoint.pt").unlink()
    assert run_all.main(["--export", first.run_id, "--results", "results", "--data-dir", str(tmp_path)]) == 2
    assert "its weights are gone: there is no checkpoint.pt" in capsys.readouterr().err


def test_what_is_stale_is_loaded_with_a_warning_and_exported_with_a_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By older code, which its file says when it is loaded, too; one that was made before says it by its own source."""
    run = runs(tmp_path, PLAIN)[0]
    trained(run, tmp_path, root)
    monkeypatch.chdir(tmp_path)
    call = ["--export", run.run_id, "--results", "results", "--data-dir", str(tmp_path)]
    assert run_all.main(call) == 0 and "stale" not in capsys.readouterr().out
    before = Path(f"{run.run_id}.safetensors").rename("before.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bench.load(before)
    path, code = record_path(root, run.run_id, "train"), identity.code(run, "train")
    record = read_stage(root, run.run_id, "train")
    assert record and code
    name = next(iter(code.parts))
    write_json(path, {**record, "code": "0" * 64, "sources": {**code.parts, name: "older"}})
    stale = f"measured by older code ({name})"
    with pytest.warns(UserWarning, match=f"^{re.escape(f'{run.run_id}: its training is stale: {stale}')}$"):
        bench.load(root / "runs" / run.run_id, data_dir=tmp_path)
    assert run_all.main(call) == 0 and f"stale: {run.run_id} train: {stale}\n" in capsys.readouterr().out
    with pytest.warns(UserWarning, match=re.escape(stale)):
        bench.load(f"{run.run_id}.safetensors")
    newer = SimpleNamespace(digest="1" * 64, parts={**code.parts, name: "newer"})
    monkeypatch.setattr(identity, "code", lambda *_: newer)
    with pytest.warns(UserWarning, match=re.escape(stale)):
        bench.load(before)


def test_a_run_of_two_suites_is_exported_from_the_one_that_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs(tmp_path, PLAIN)[0]
    for folder in (root, root.with_name("tiny2")):
        trained(run, tmp_path, folder)
    monkeypatch.chdir(tmp_path)
    call = ["--export", run.run_id, "--data-dir", str(tmp_path), "--results"]
    assert run_all.main([*call, "results"]) == 2
    said = f"--export {run.run_id}: several suites have it: name one as --results: results/tiny and results/tiny2"
    assert said in capsys.readouterr().err
    assert run_all.main([*call, "results/tiny2"]) == 0 and Path(f"{run.run_id}.safetensors").is_file()


def test_a_plugin_that_is_needed_is_named(
    registered: None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.config.registry import baselines

    run = runs(tmp_path, HEAD + 'baselines = ["oneshot"]\ntraining = { steps = 2, batch = 16 }\n')[0]
    trained(run, tmp_path, root)
    monkeypatch.delitem(baselines._entries, "oneshot")
    with pytest.raises(UsageError, match=r"^baseline 'oneshot' is of a plugin: bench\.load\(\.\.\., plugins=\["):
        bench.load(root / "runs" / run.run_id, data_dir=tmp_path)
