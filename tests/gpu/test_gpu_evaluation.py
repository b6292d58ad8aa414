"""What is measured on the device is what the CPU measures: noise, likelihood, samples, features, whole runs."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from judging import compare, floor
from tiny import SUITE, runs
from torch import Tensor, nn

from baselines.ddpm import DDPM
from baselines.fm_ot import FlowMatchingOT
from bench.config.registry import datasets
from bench.config.settings import Likelihood
from bench.datasets.base import Dataset
from bench.evaluation.likelihood import by_route
from bench.evaluation.routes import ByODE
from bench.evaluation.trained import Trained
from bench.launch.job import Job
from bench.methods.density import log_density
from bench.methods.memory import Memory
from bench.methods.model import Draw
from bench.methods.ode import Solver
from bench.metrics.extractors.reference import Reference
from bench.networks.adm import adm
from bench.networks.mlp import mlp
from bench.records import records
from bench.records.frame import read_frame
from bench.samplers.ode import sampler_of
from bench.training.precision import full_float32
from bench.training.seeds import normal

DATA = Path(os.environ.get("BENCH_DATA", "data"))
MIDPOINT = {"method": "midpoint", "steps": 8}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return datasets["digits"](tmp_path_factory.mktemp("data"))


def network(shape: tuple[int, ...]) -> nn.Module:
    """The same weights whatever the device: drawn on the CPU, none of them zero."""
    torch.manual_seed(0)
    if len(shape) == 1:
        return mlp(shape, width=32, depth=2).eval()
    module = adm(shape, channels=16, multiples=[1, 2], blocks=1, attention=[4], head_channels=16)
    for p in module.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return module.eval()


def trained(dataset: Dataset, device: str, baseline: Any = None) -> Trained:
    return Trained(baseline or FlowMatchingOT(), network(dataset.shape).to(device), dataset, 0, device)


def test_noise_belongs_to_the_sample_on_every_device(digits: Dataset, device: str) -> None:
    here = normal((3, 4), 0, "samples", 0, 8)
    assert torch.equal(here, normal((3, 4), 0, "samples", 0, 8, device).cpu())
    assert torch.equal(here[5:], normal((3, 4), 0, "samples", 5, 8, device).cpu())
    assert torch.equal(trained(digits, "cpu").noise(2, 6), trained(digits, device).noise(2, 6).cpu())


def test_samples_are_the_cpus(digits: Dataset, points: Dataset, device: str) -> None:
    for dataset in (digits, points):
        for solver in (Solver("midpoint", steps=8), Solver("dormand_prince", 1e-4, 1e-4)):
            (x, nfe), (y, count) = (
                _drawn(trained(dataset, d), lambda s, solver=solver: s.draw(sampler_of(solver), 0, 8))
                for d in ("cpu", device)
            )
            torch.testing.assert_close(x, y.cpu(), rtol=1e-3, atol=1e-3)
            assert count == pytest.approx(nfe, abs=6)


def _drawn(this: Trained, draw: Any) -> tuple[Tensor, float]:
    with torch.no_grad(), full_float32(this.device):
        found: tuple[Tensor, float] = draw(this)
        return found


@dataclass(frozen=True)
class Asking(FlowMatchingOT):
    """Keeps the device of the generator that its sampler gets."""

    def samplers(self, net: Any) -> dict[str, Draw]:
        def sample(x: Tensor, rng: torch.Generator) -> Tensor:
            assert rng.device.type == x.device.type, f"a generator of {rng.device} for samples on {x.device}"
            return x + torch.randn(x.shape, generator=rng, device=x.device)

        return {"one": sample}


def test_samplers_get_a_generator_of_the_device(digits: Dataset, device: str) -> None:
    x, _ = _drawn(trained(digits, device, Asking()), lambda s: s.draw("one", 0, 8))
    assert x.device.type == torch.device(device).type
    again, _ = _drawn(trained(digits, device, Asking()), lambda s: s.draw("one", 0, 8))
    assert torch.equal(x, again)


def test_native_samplers_run_on_the_device(digits: Dataset, device: str) -> None:
    this = DDPM(ancestral_steps=20, ddim_steps=10)
    names = list(this.samplers(lambda t, x: x))
    for name in names:
        x, nfe = _drawn(trained(digits, device, this), lambda s, name=name: s.draw(name, 0, 16))
        assert x.device.type == torch.device(device).type and torch.isfinite(x).all()
        assert nfe == int(name.split("-")[1])
    ddim = next(name for name in names if name.startswith("ddim"))  # it draws nothing, so the devices agree
    x, y = (_drawn(trained(digits, d, this), lambda s: s.draw(ddim, 0, 8))[0].cpu() for d in ("cpu", device))
    torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_likelihoods_are_the_cpus(digits: Dataset, points: Dataset, device: str, divergence: str) -> None:
    for dataset in (points, digits) if divergence == "hutchinson" else (points,):
        settings = Likelihood(n=8, batch=8, divergence=divergence, probes=2, draws=(1, 2))
        found = []
        for d in ("cpu", device):
            with full_float32(d):
                rows = by_route(ByODE(trained(dataset, d), settings, Solver("dormand_prince", 1e-4, 1e-4)), "raw")
            found.append({(m.metric, m.settings.get("draws")): m.value for m in rows if "nll" in m.metric})
        assert found[0].keys() == found[1].keys() and len(found[0]) >= 1
        for key, value in found[0].items():
            assert found[1][key] == pytest.approx(value, rel=1e-3, abs=1e-3), key


def test_features_and_their_distance_are_the_cpus(digits: Dataset, device: str, tmp_path: Path) -> None:
    """The digits' own classifier; the FID Inception's features in the test below, where its weights are there."""
    samples = digits.decode(normal(digits.shape, 0, "samples", 0, 64).mul(0.5))
    values = []
    for d in ("cpu", device):
        with full_float32(d):
            reference = Reference(digits, "digits_cnn", tmp_path, d, n=256)
            features = reference.collect(64)
            features.update(samples.to(d), 0)
            values.append({m.metric: m.value for m in (*compare(reference, features), *floor(reference, 64))})
        shutil.rmtree(reference.folder)  # the statistics of the reference are to be computed on both
    assert values[0].keys() == values[1].keys() and len(values[0]) == 8
    for key, value in values[0].items():
        # Neighbours are counted: one of 64 may fall on the other side.
        slack = 2 / 64 if key.startswith(("precision", "recall")) else 1e-4
        assert values[1][key] == pytest.approx(value, rel=2e-3, abs=slack), key


def test_inception_features_are_the_cpus(cuda: str) -> None:
    from bench.metrics.extractors.catalogue import Loaded, extractor_for

    if not any((DATA / folder).exists() for folder in ("inception", "extractors")):
        pytest.skip(f"no Inception weights in {DATA}")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 32, 32), generator=draw, dtype=torch.uint8)
    dataset = Dataset("colours", "1", images, images, levels=256, extractor="inception")
    extractor = extractor_for("inception", dataset, DATA)
    here, there = (Loaded(extractor, dataset.stored_shape, d)(images)[0].cpu() for d in ("cpu", cuda))
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


# Memory that runs out.


class Wide(nn.Module):
    """v(t, x) = x + 0 through 8 MiB a row."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        wide = x.flatten(1)[:, :1].expand(-1, 2 << 20).contiguous()
        return x + 0 * wide.mean(1).view(-1, *[1] * (x.dim() - 1))


def test_rows_are_halved_until_they_fit(digits: Dataset, small_gpu: int) -> None:
    x = torch.randn(100, *digits.shape, device="cuda")
    memory, module = Memory(), Wide().cuda()
    with torch.no_grad():
        found = memory.rowwise(lambda rows: module(x[rows, 0, 0, 0], x[rows]), 100)
    assert torch.equal(found, x)
    assert memory.rows is not None and memory.rows * (8 << 20) <= small_gpu
    crowded = Trained(FlowMatchingOT(), module, digits, 0, "cuda")
    y, nfe = _drawn(crowded, lambda s: s.draw(sampler_of(Solver("midpoint", steps=4)), 0, 100))
    assert torch.isfinite(y).all() and nfe == 8 and crowded.memory.rows is not None
    memory = Memory()
    density = log_density(
        lambda t, x: module(t, x), x, 1.0, Solver("midpoint", steps=2), torch.ones_like(x)[None], memory
    )
    assert memory.rows is not None and torch.isfinite(density.log_p).all()


def test_training_out_of_memory_is_a_failed_record_that_says_what_helps(small_gpu: int, tmp_path: Path) -> None:
    text = SUITE.replace("batch = 16", "batch = 4194304").replace("width = 8", "width = 256")
    (run, _) = runs(tmp_path, text)
    assert Job(run, tmp_path / "results", tmp_path / "data", "cuda")() == "failed"
    error = records.failed(tmp_path / "results", run)
    assert error is not None and error.startswith("out of memory: ")
    assert "training.micro_batch = 4194304" in error and "\n" not in error


# Whole runs.

POINTS = """
evaluation.sweep = { n = 40, batch = 40, solvers = ["midpoint"], nfe = [8], tolerances = [1e-2], error_n = 20 }
"""
IMAGES = """
about = "tiny images"
protocol = "smoke"
seeds = [0]
[[experiments]]
dataset = "digits"
network = { name = "adm", channels = 16, multiples = [1, 2], blocks = 1, attention = [4], head_channels = 16 }
baselines = ["fm_ot"]
training = { steps = 20, batch = 32, lr = 2e-3, ema = 0.9, channels_last = true, curve_points = 1, curve_n = 8 }
[experiments.evaluation]
likelihood = { n = 8, batch = 8, draws = [1, 2], divergence = "hutchinson", solvers = [{ rtol = 1e-3, atol = 1e-3 }] }
[experiments.evaluation.samples]
n = 64
batch = 64
reference_n = 64
path_n = 8
path_times = 3
solver = { method = "midpoint", steps = 8 }
"""
# What is measured of the machine, and what another generator draws.
OWN = ("seconds", "peak_memory_bytes", "load")


@pytest.mark.parametrize("text", [SUITE + POINTS, IMAGES], ids=["points", "images"])
def test_a_run_trained_on_the_cpu_is_measured_the_same_on_the_device(text: str, device: str, tmp_path: Path) -> None:
    """Every stage of the same weights; a network is trained on the device, too, and must only end."""
    for run in runs(tmp_path, text):
        data = tmp_path / "data"
        roots = {name: tmp_path / name for name in ("cpu", "device", "trained")}
        here = Job(run, roots["cpu"], data, "cpu")
        assert here() == "ok"
        there = Job(run, roots["device"], data, device)
        there.folder.mkdir(parents=True)
        shutil.copy(here.folder / "checkpoint.pt", there.folder / "checkpoint.pt")
        shutil.rmtree(data / "fidelity", ignore_errors=True)
        assert there() == "ok"
        tables = [read_frame(roots[name]) for name in ("cpu", "device")]
        values = [
            {(r.stage, r.metric, json.dumps(_own(r.settings), sort_keys=True)): r.value for r in table.itertuples()}
            for table in tables
        ]
        assert values[0].keys() == values[1].keys()
        compared = 0
        for key, value in values[0].items():
            if any(own in key[1] for own in OWN) or "ancestral" in key[2]:
                continue
            compared += 1
            slack = 6 if "nfe" in key[1] else 2 / 64 if key[1].startswith(("precision", "recall")) else 5e-3
            assert values[1][key] == pytest.approx(value, rel=1e-2, abs=slack), key
        assert compared >= 10
        trained = Job(run, roots["trained"], data, device)
        assert trained() == "ok"
        table = read_frame(roots["trained"])
        assert set(table.status) == {"ok"} and set(table.metric) == set(tables[0].metric)


def _own(settings: str) -> dict[str, Any]:
    """The settings that do not hang on the machine; an adaptive solver's evaluations do by a step."""
    return {k: v for k, v in json.loads(settings).items() if k not in ("nfe", "train_seconds", "nfe_training")}
