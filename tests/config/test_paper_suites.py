"""The suites of images say what the paper prints: table 3 cell by cell, table 1's methods, table 4's K."""

import csv
import inspect
import itertools
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.config.beforehand import validate
from bench.config.components import build_baseline
from bench.config.curve import curve_likelihood
from bench.config.plan import plan
from bench.config.registry import networks
from bench.config.settings import Component
from bench.config.suite import Run, load_suite, suite_names
from bench.methods.cnf import SimulatedBaseline
from bench.training.optimiser import learning_rate, optimiser

ROOT = Path(__file__).parents[2]
# Parameters, in millions, of guided-diffusion's module with the settings of table 3, without and with scale-shift norm
# and residual resampling.
BARE = {"cifar10": 142.9, "imagenet32": 196.1, "imagenet64": 264.9, "imagenet128": 485.0}
FULL = {"cifar10": 171.3, "imagenet32": 228.1, "imagenet64": 295.1, "imagenet128": 542.8}
TABLE3: dict[str, dict[str, Any]] = {
    name: {"warmup": 0, **column, "bare": BARE[name], "full": FULL[name]}
    for name, column in tomllib.loads((ROOT / "bench/papers/lipman2023/table3.toml").read_text()).items()
}
SIDES = {"cifar10": 32, "imagenet32": 32, "imagenet64": 64, "imagenet128": 128}
SIDES |= {"cifar10_8_to_32": 32, "imagenet64_to_256": 256}
IMAGES = {"cifar10": 50_000, "imagenet32": 1_281_167, "imagenet64": 1_281_167, "imagenet128": 1_281_167}
SIMULATED = {"ffjord", "rnode"}
PROTOCOLS = ("smoke", "small", "paper")
CELLS = [(name, protocol) for name in TABLE3 for protocol in PROTOCOLS]
CELLS += [("superres_cifar10", "smoke"), ("superres_cifar10", "small"), ("superres_imagenet", "paper")]


def planned(suite: str, protocol: str) -> list[Run]:
    name, contents = load_suite(suite)
    return plan(name, contents, protocol)


def published(table: str, dataset: str) -> list[dict[str, str]]:
    path = ROOT / "results/published/lipman2023.csv"
    with path.open() as file:
        return [row for row in csv.DictReader(file) if (row["table"], row["dataset"]) == (table, dataset)]


def options(network: Component) -> dict[str, Any]:
    """All options of a network, defaults included."""
    parameters = inspect.signature(networks[network.name]).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not inspect.Parameter.empty}
    return {**defaults, **network.options}


def empty(network: Component, dataset: str, **changed: Any) -> nn.Module:
    """The network for a dataset's images without its numbers."""
    side = SIDES[dataset]
    given = {"given": (3, side, side)} if "_to_" in dataset else {}
    with torch.device("meta"):
        return networks[network.name]((3, side, side), **given, **{**network.options, **changed})


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


# Table 3.


@pytest.mark.parametrize("name", TABLE3)
def test_paper_makes_the_papers_epochs(name: str) -> None:
    """Iterations x batch / images; CIFAR-10's are 2,002 where 1,000 are printed."""
    training = next(run.training for run in planned(name, "paper") if run.baseline.name == "fm_ot")
    assert training.steps
    epochs = training.steps * training.batch / IMAGES[name]
    assert epochs == pytest.approx(TABLE3[name]["epochs"] * (2 if name == "cifar10" else 1), rel=0.06)


@pytest.mark.parametrize("name", TABLE3)
def test_paper_is_table_3(name: str) -> None:
    expected = TABLE3[name]
    for run in planned(name, "paper"):
        assert run.dataset == Component(name=name) and run.network.name == "adm"
        network = options(run.network)
        assert network["scale_shift"] and network["resample_blocks"]
        found = {
            key: network[key] for key in ("channels", "blocks", "multiples", "head_channels", "attention", "dropout")
        }
        if run.baseline.name not in SIMULATED:
            settings = run.training.model_dump()
            found |= {key: settings[key] for key in ("batch", "steps", "lr", "decay", "warmup")}
            found["precision"] = "mixed" if settings["precision"] == "bf16" else settings["precision"]
            # What the paper states nothing of is left out, but for the average of the weights.
            assert run.training.seconds is None and run.training.clip is None and not run.training.flip
        assert found == {key: expected[key] for key in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE3)
def test_paper_has_the_parameters_of_the_papers_network(name: str) -> None:
    (network,) = {run.network.model_dump_json(): run.network for run in planned(name, "paper")}.values()
    assert round(millions(empty(network, name)), 1) == TABLE3[name]["full"]
    bare = empty(network, name, scale_shift=False, resample_blocks=False)
    assert round(millions(bare), 1) == TABLE3[name]["bare"]


@pytest.mark.parametrize("name", TABLE3)
def test_the_optimiser_is_the_papers(name: str) -> None:
    """Adam (0.9, 0.999), eps 1e-8, no weight decay; from 1e-8 to the peak and, where it decays, back to 1e-8."""
    training = next(run.training for run in planned(name, "paper") if run.baseline.name == "fm_ot")
    adam = optimiser([nn.Parameter(torch.zeros(1))], training)
    assert type(adam) is torch.optim.Adam
    stated = {"lr": training.lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
    assert stated.items() <= adam.defaults.items()
    assert training.steps
    steps = (0, training.warmup, training.steps // 2, training.steps)
    begin, peak, half, end = (learning_rate(training, step, step / training.steps) for step in steps)
    assert peak == training.lr
    if training.warmup:
        assert begin == pytest.approx(1e-8, rel=0.2)
    if training.decay == "linear":
        assert end == 1e-8
        share = (training.steps / 2 - training.warmup) / (training.steps - training.warmup)
        assert half == pytest.approx(training.lr * (1 - share))
    else:
        assert begin == half == end == training.lr


@pytest.mark.parametrize("name", TABLE3)
def test_as_many_gpus_as_the_papers_can_share_every_run(name: str) -> None:
    gpus = TABLE3[name]["gpus"]
    for run in planned(name, "paper"):
        assert run.training.pieces % gpus == 0, run.baseline.name


# Tables 1 and 4.


@pytest.mark.parametrize(("name", "protocol"), [cell for cell in CELLS if cell[0] in TABLE3])
def test_every_method_is_in_every_protocol(name: str, protocol: str) -> None:
    five = {row["method"] for row in published("table1", "cifar10")}
    assert len(five) == 5
    runs = planned(name, protocol)
    assert sorted(run.baseline.name for run in runs) == sorted(five | {"ot_cfm"} | SIMULATED)
    # The same network for all, and the same budget for all but those that solve an ODE a step.
    assert len({run.network.model_dump_json() for run in runs}) == 1
    assert len({run.training for run in runs if run.baseline.name not in SIMULATED}) == 1
    assert all(run.evaluation == runs[0].evaluation for run in runs)
    assert all(run.stages == ("train", "likelihood", "samples", "sweep") for run in runs)


@pytest.mark.parametrize("name", TABLE3)
def test_paper_draws_each_k_of_table_4(name: str) -> None:
    """Table 4's K are those of table 1 and smaller ones; none is printed for ImageNet-128."""
    draws = {int(match[1]) for row in published("table4", name) if (match := re.search(r"K=(\d+)", row["settings"]))}
    assert len(draws) == (0 if name == "imagenet128" else 3)
    for run in planned(name, "paper"):
        likelihood, samples = run.evaluation.likelihood, run.evaluation.samples
        assert likelihood and samples
        assert set(likelihood.draws) >= draws and 1 in likelihood.draws
        assert max(likelihood.draws) == max(draws, default=1)
        assert likelihood.divergence == "hutchinson" and samples.n == 50_000
        for solve in (*likelihood.solvers, samples.solver):
            assert (solve.method, solve.rtol, solve.atol) == ("dopri5", 1e-5, 1e-5)


@pytest.mark.parametrize("name", [name for name in suite_names() if "paper" in load_suite(name)[1].protocols])
def test_paper_solves_by_torchdiffeqs_dopri5(name: str) -> None:
    for run in planned(name, "paper"):
        likelihood, samples, sweep = run.evaluation.likelihood, run.evaluation.samples, run.evaluation.sweep
        solves = [*(likelihood.solvers if likelihood else ()), *([samples.solver] if samples else ())]
        solves += curve_likelihood(run.evaluation, 8).solvers if run.training.curve_points else ()
        fixed = name.startswith("tong2024")  # whose samples are of Euler's method, and nothing else is solved
        assert {solve.method for solve in solves} == {"euler" if fixed else "dopri5"}, run.run_id
        assert "dormand_prince" not in {sampler.name for sampler in (sweep.components if sweep else ())}, run.run_id


# Every protocol.


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), CELLS)
def test_every_run_has_a_network_that_can_be_built(name: str, protocol: str) -> None:
    runs = planned(name, protocol)
    validate(runs)
    for run in {run.network.model_dump_json(): run for run in runs}.values():
        net, side = empty(run.network, run.dataset.name), SIDES[run.dataset.name]
        count = millions(net)
        if protocol == "small":
            assert 30 <= count <= 40
        if protocol == "smoke":
            assert count < 1
        with torch.device("meta"):
            given = 3 if "_to_" in run.dataset.name else 0
            y = net(torch.rand(1), torch.randn(1, 3 + given, side, side))
        assert y.shape == (1, 3, side, side)


def test_the_upsampler_is_dhariwal_and_nichols() -> None:
    """311.0 million parameters, theirs without classes."""
    (network,) = {run.network.model_dump_json(): run.network for run in planned("superres_imagenet", "paper")}.values()
    assert round(millions(empty(network, "imagenet64_to_256")), 1) == 311.0


def test_second_derivatives_find_a_network_that_has_them() -> None:
    """Compiled code has none of its own, but for a dopri5 step that is compiled as a whole."""
    seen = 0
    for run in itertools.chain.from_iterable(planned(*cell) for cell in CELLS):
        baseline = build_baseline(run.baseline)
        if isinstance(baseline, SimulatedBaseline):
            seen += 1
            assert run.training.precision == "fp32"
            assert not (run.training.compile and (baseline.adjoint or baseline.rk4_steps)), run.run_id
        if run.protocol == "smoke":
            assert not run.training.compile and run.training.precision == "fp32"
    assert seen == 2 * len([cell for cell in CELLS if cell[0] in TABLE3])


@pytest.mark.parametrize("name", TABLE3)
def test_rnode_is_trained_as_it_was_published(name: str) -> None:
    """Four steps of RK4, both penalties 0.01 converted, Adam at 1e-3, batches of 200 or what GPUs can share."""
    for run in planned(name, "paper"):
        if run.baseline.name in SIMULATED:
            options = dict(run.baseline.options)
            if run.baseline.name == "rnode":
                # 0.01 (1/2) mean |v|^2 and 0.01 mean |e^T J|^2 beside bits/dim, for pixels in [0, 1].
                assert options.pop("kinetic") == pytest.approx(0.01 * math.log(2) / 8, rel=1e-5)
                assert options.pop("jacobian") == pytest.approx(0.01 * math.log(2), rel=1e-5)
            assert options == {"rk4_steps": 4, "adjoint": True}
            training, gpus = run.training, TABLE3[name]["gpus"]
            most = max(size for size in range(1, 201) if size % gpus == 0)
            assert training.batch == most and training.steps and training.steps == 100 * math.ceil(50_000 / 200)
            assert (training.lr, training.warmup, training.decay) == (1e-3, 0, "constant")


# Suites of further papers.


FURTHER = {  # method: steps, batch, rate, warm-up, average, and millions of parameters of the network that stands here
    ("fewstep", "ot_cfm"): (400_000, 128, 2e-4, 5000, 0.9999, 35.7),  # the printed 34.1 are 35.75M / 1024^2
    ("fewstep", "icfm"): (400_000, 128, 2e-4, 5000, 0.9999, 35.7),
    ("fewstep", "edm"): (200_000_000 // 512, 512, 1e-3, 10_000_000 // 512, 0.5 ** (512 / 500_000), 54.2),
    ("fewstep", "consistency"): (400_000, 128, 1e-4, 0, 0.9999, 54.2),
    ("fewstep", "meanflow"): (800_000, 1024, 6e-4, 200 * 50_000 // 1024 + 1, 0.99995, 54.2),
    ("samplers", "ddpm"): (800_000, 128, 2e-4, 5000, 0.9999, 35.7),
}
FURTHER_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {  # all else is the method's default
    ("fewstep", "icfm"): {"sigma": 0.0},
    ("fewstep", "ot_cfm"): {"coupling": "drawn"},
    ("fewstep", "edm"): {"sigma_data": 0.5},
    ("fewstep", "consistency"): {"sigma_data": 0.5},
    ("fewstep", "meanflow"): {"distinct": 0.75, "mean": -2.0, "std": 2.0, "p": 0.75},
}


@pytest.mark.parametrize(("suite", "method"), FURTHER)
def test_paper_on_cifar10_is_what_a_paper_or_its_code_says(suite: str, method: str) -> None:
    """A protocol of CIFAR-10 alone, whose small sets are of the other protocols."""
    runs = {run.baseline.name: run for run in planned(suite, "paper")}
    assert {run.dataset.name for run in runs.values()} == {"cifar10"}
    assert "cifar10" not in {run.dataset.name for run in planned(suite, "small")}
    assert {name for suite_of, name in FURTHER if suite_of == suite} == set(runs)
    training, (steps, batch, lr, warmup, ema, parameters) = runs[method].training, FURTHER[suite, method]
    assert (training.steps, training.batch, training.lr, training.warmup) == (steps, batch, lr, warmup)
    assert training.ema == pytest.approx(ema, abs=1e-5) and training.decay == "constant"
    assert round(millions(empty(runs[method].network, "cifar10")), 1) == parameters
    assert runs[method].baseline.options == FURTHER_OPTIONS.get((suite, method), {})
