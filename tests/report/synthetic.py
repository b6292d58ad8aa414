"""A suite that was never run: records and arrays with known numbers, as bench.launch.job would leave them.

checkerboard: eight baselines, three seeds; ScoreFlow's seed 1 failed in training, RNODE's seed 2 was not run, FFJORD's
sweep was not. digits: four baselines, one seed, DDPM with its native samplers, RNODE failed.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from bench.records.frame import COLUMNS, PLACES
from bench.records.measurement import modern
from bench.records.schema import SCHEMA
from bench.records.seal import write_arrays, write_json
from bench.report.artefacts import Artefacts
from bench.report.canvas import themed
from bench.report.figure import Drawing, draw
from bench.report.sections import Section, sections

LABELS = {
    "fm_ot": "FM w/ OT",
    "ot_cfm": "OT-CFM",
    "fm_diffusion": "FM w/ Diffusion",
    "score_matching": "Score Matching",
    "scoreflow": "ScoreFlow",
    "ddpm": "DDPM",
    "ffjord": "FFJORD",
    "rnode": "RNODE",
}
SIMULATING = ("ffjord", "rnode")
DEVICE = "cpu (AMD EPYC 7B13, 1 thread of 2)"
EXTENT = 4.5
ODE = {"sampler": "dopri5", "solver": "dopri5", "rtol": 1e-5, "atol": 1e-5, "batch": 2000, "weights": "ema"}
LIKELIHOOD = {
    "solver": "dopri5", "rtol": 1e-5, "atol": 1e-5, "probes": None, "batch": 1000, "split": "test", "weights": "ema"
}  # fmt: skip
MIDPOINT = {k: v for k, v in LIKELIHOOD.items() if k not in ("rtol", "atol")} | {
    "solver": "midpoint",
    "steps": 50,
}
Row = dict[str, Any]


def row(metric: str, value: float, settings: dict[str, Any] | None = None, n: int | None = None) -> Row:
    """One measurement of a record."""
    return {
        "metric": metric,
        "value": value,
        "stderr": None,
        "n": n,
        "seconds": None,
        "settings": settings or {},
    }


def fixed(name: str, nfe: int, evaluations: int) -> dict[str, Any]:
    """Settings of a fixed-step solver of so many evaluations a step."""
    return {"sampler": name, "solver": name, "steps": nfe // evaluations, "nfe": nfe, "batch": 1000, "weights": "ema"}


def frame(*rows: dict[str, Any]) -> pandas.DataFrame:
    """A frame as bench.records.records makes it, of rows that say only what they are about."""
    common = {
        "variant": "cifar10-fm_ot-0a1b2c", "suite": "mine", "protocol": "small", "dataset": "cifar10", "seed": 0,
        "dataset_version": "1", "network": "unet", "parameters": 100, "baseline": "fm_ot", "label": "FM w/ OT",
        "current": True, "stale": "", "stage": "samples", "metric": "fid", "value": 1.0, "stderr": None, "n": 1000,
        "settings": {}, "seconds": None,
        "steps": 10, "device": DEVICE, "device_count": 1, "global_batch": 8, "versions": "{}", "commit": "c",
        "status": "ok", "error": None,
    }  # fmt: skip
    full = [modern(common | given, str(given.get("stage"))) for given in rows]
    for given in full:
        given["settings"] = json.dumps(given["settings"], sort_keys=True)
        given |= dict.fromkeys(PLACES, math.nan) | given.pop("place")
        given.setdefault("run_id", f"{given['variant']}-s{given['seed']}")
    more = sorted({key for given in full for key in given} - set(COLUMNS))
    return pandas.DataFrame(full, columns=[*COLUMNS, *more])


def section(rows: Iterable[dict[str, Any]]) -> Section:
    """The one section of such rows."""
    (only,) = sections(frame(*rows))
    return only


def drawings(rows: Iterable[dict[str, Any]], name: str, root: Path = Path("/none")) -> list[Drawing]:
    """A figure of them, drawn without a complaint."""
    complaints: list[str] = []
    with themed():
        found = list(draw(section(rows), Artefacts(root), complaints, name))
    assert complaints == []
    return found


def write_suite(root: Path) -> Path:
    """Write plan, records and arrays of the whole suite under `root`."""
    planned = []
    for place, baseline in enumerate(LABELS):
        for seed in range(3):
            planned.append(write_points(root, baseline, place, seed))
    for place, baseline in enumerate(["fm_ot", "fm_diffusion", "ddpm", "rnode"]):
        planned.append(write_digits(root, baseline, place))
    write_json(root / "plan.json", {"suite": "quick", "about": "a synthetic suite", "runs": planned})
    return root


def identity(dataset: str, baseline: str, seed: int, network: str) -> dict[str, Any]:
    variant = f"{dataset}-{baseline}-{'3f2a9c' if dataset == 'checkerboard' else '81d0e4'}"
    return {
        "run_id": f"{variant}-s{seed}",
        "variant": variant,
        "suite": "quick",
        "protocol": "small",
        "dataset": dataset,
        "network": network,
        "baseline": baseline,
        "seed": seed,
        "label": LABELS[baseline],
        "global_batch": 256,
    }


def write_stage(
    root: Path,
    known: dict[str, Any],
    stage: str,
    rows: list[Row],
    arrays: dict[str, Any] | None = None,
    error: str = "",
) -> None:
    """One record with what a finished run says of itself, and its arrays."""
    folder = root / "runs" / known["run_id"]
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "schema": SCHEMA,
        "stage": stage,
        "status": "failed" if error else "ok",
        "error": error or None,
        "fingerprint": known["run_id"],
        "dataset_version": "ffjord-1" if known["dataset"] == "checkerboard" else "sklearn-1",
        "parameters": 67_074 if known["network"] == "mlp" else 281_985,
        "label": LABELS[known["baseline"]],
        "steps": 300 if known["baseline"] in SIMULATING else 3000,
        "device": DEVICE,
        "device_count": 1,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "commit": "0123456789",
        "finished": "2026-01-02T03:04:05+00:00",
        "measurements": [modern(one, stage) for one in rows],
    }
    write_json(folder / f"{stage}.json", {**known, **facts})
    if arrays:
        write_arrays(folder / f"{stage}.npz", arrays)


def write_points(root: Path, baseline: str, place: int, seed: int) -> dict[str, Any]:
    known = identity("checkerboard", baseline, seed, "mlp")
    stages = ["train", "likelihood", "samples", "sweep"]
    planned = {**known, "stages": stages, "steps": 300 if baseline in SIMULATING else 3000, "seconds": None}
    if baseline == "rnode" and seed == 2:
        return planned
    if baseline == "scoreflow" and seed == 1:
        write_stage(root, known, "train", [], error="the loss is nan at step 1850 | lr_1e-3 & 5% warm-up")
        return planned
    wobble = (seed - 1) * 0.01 * (1 + place)
    curves = {"nll_nats": 3.7 + 0.05 * place, "w2": 0.35 + 0.04 * place, "nfe_sampling": 32 + 6 * place}
    write_stage(root, known, "train", training(baseline, place, wobble, curves))
    likelihood = [
        row("nll_nats", 3.7 + 0.05 * place + wobble, {**LIKELIHOOD, "divergence": "exact", "draws": 1}, 2000),
        row("nll_nats", 3.72 + 0.05 * place + wobble, {**MIDPOINT, "divergence": "exact", "draws": 1}, 2000),
        row("nll_floor", math.log(32), {"split": "test", "density": "exact"}, 2000),
        row("nfe_likelihood", 44 + 8 * place, {**LIKELIHOOD, "divergence": "exact"}, 2000),
        row("likelihood_seconds", 1.2 + 0.1 * place + wobble, {**LIKELIHOOD, "divergence": "exact"}, 2000),
    ]
    rng = np.random.default_rng([place, seed])
    write_stage(root, known, "likelihood", likelihood, density_arrays(0.05 + 0.03 * place))
    samples = [
        row("w2", 0.3 + 0.04 * place + wobble / 4, {**ODE, "split": "test"}, 2000),
        row("path_energy", 9.1 + 1.5 * place + wobble, ODE, 2000),
        row("npe", 0.12 + 0.3 * place + wobble / 4, ODE, 2000),
        row("straightness", 0.4 + 0.5 * place + wobble, ODE, 2000),
        row("nfe_sampling", 38 + 12 * place, ODE, 2000),
        row("sampling_seconds", 0.08 + 0.02 * place + wobble / 50, ODE, 2000),
    ]
    arrays = path_arrays(rng, 0.05 + 0.03 * place, place)
    if baseline not in ("ot_cfm", *SIMULATING):
        arrays |= conditional_arrays(baseline != "fm_ot")
    write_stage(root, known, "samples", samples, arrays)
    if baseline == "ffjord" and seed == 1:
        return planned
    sweep = [
        row("w2", 0.3 + 0.04 * place + (8 + place) * evaluations / nfe**order, fixed(name, nfe, evaluations), 1000)
        for name, evaluations, order in (("euler", 1, 1), ("midpoint", 2, 1.6), ("rk4", 4, 2.0))
        for nfe in (4, 8, 12, 20, 40)
    ]  # fmt: skip
    for exponent in (1, 2, 3):
        nfe = 8 + 6 * exponent + 2 * place
        settings = {**ODE, "rtol": 10.0**-exponent, "atol": 10.0**-exponent, "nfe": nfe, "batch": 1000}
        sweep.append(row("w2", 0.3 + 0.04 * place + 0.9 / 10**exponent, settings, 1000))
    sweep += [row("ode_error", ode_error(place, r["settings"]), r["settings"], 256) for r in sweep]
    sweep += [
        row("sampling_seconds", 0.001 * (1 + 0.1 * place) * r["settings"]["nfe"], r["settings"], 1000)
        for r in sweep
        if r["metric"] == "w2"
    ]
    few = {f"samples_midpoint_{nfe}": checkerboard(rng, 1000, 0.05 + 2 / nfe + 0.03 * place) for nfe in (4, 8, 20, 100)}
    write_stage(root, known, "sweep", sweep, {**few, "extent": EXTENT})
    return planned


def ode_error(place: int, settings: dict[str, Any]) -> float:
    """1 / NFE^2 of the first method, and as much for the others with (1 + place / 10) times the evaluations."""
    return float((settings["nfe"] / (1 + place / 10)) ** -2.0)


def training(baseline: str, place: int, wobble: float, curves: dict[str, float]) -> list[Row]:
    """Scalars, and curves of metrics that fall to their last value at shares 1/64, 1/32, ... of the training."""
    steps = 300 if baseline in SIMULATING else 3000
    seconds = (150.0 if baseline in SIMULATING else 15.0) * (1 + 0.1 * place) + wobble
    nfe = steps * (100 if baseline in SIMULATING else 1)
    rows = [
        row("steps", steps),
        row("train_seconds", seconds),
        row("nfe_training", nfe),
        row("peak_memory_bytes", 2.0**28 + 2.0**20 * place),
        row("train_loss", 1.5 + 0.1 * place, {"step": steps}),
    ]
    for k in range(7):
        share = 2.0 ** (k - 6)
        where = {
            "curve": True,
            "step": int(steps * share),
            "train_seconds": seconds * share,
            "nfe_training": nfe * share,
        }
        for metric, final in curves.items():
            settings = {**where, **(LIKELIHOOD if metric.startswith("nll") else ODE)}
            rows.append(row(metric, final + 0.4 * (1 / share - 1) ** 0.5 / 4 + wobble, settings, 500))
    return rows


def checkerboard(rng: np.random.Generator, n: int, noise: float) -> np.ndarray:
    x = rng.uniform(-2, 2, n)
    y = rng.uniform(0, 1, n) - 2 * rng.integers(0, 2, n) + np.floor(x) % 2
    return (2 * np.stack([x, y], 1) + noise * rng.standard_normal((n, 2))).astype(np.float32)


def density_arrays(noise: float) -> dict[str, Any]:
    """From a Gaussian to a checkerboard smoothed by the logistic function, normalised on the square."""
    axis = (np.arange(80) + 0.5) / 80 * 2 * EXTENT - EXTENT
    x, y = np.meshgrid(axis, axis)
    wave = np.sin(np.pi * x / 2) * np.sin(np.pi * y / 2)
    inside = 1 / (1 + np.exp(-(4 - np.maximum(abs(x), abs(y))) / noise * 2))
    ends = np.exp(-(x**2 + y**2) / 2), inside / (1 + np.exp(-wave / noise)) + 1e-6
    first, last = (p / (p.sum() * (2 * EXTENT / 80) ** 2) for p in ends)
    times = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    moments = [np.log((1 - t) * first + t * last) for t in times]
    return {"log_densities": np.stack(moments).astype(np.float16), "density_times": times, "extent": EXTENT}


def conditional_arrays(diffusion: bool) -> dict[str, Any]:
    """Straight lines to one point, or quarters of ellipses: alpha = t, or alpha = sin and sigma = cos of pi t / 2."""
    target, times = np.array([1.0, -2.0]), np.linspace(0, 1, 51)
    shown = np.array([0.0, 0.3, 0.6, 0.9])
    noise = np.random.default_rng(5).standard_normal((64, 2))
    axis = np.linspace(-EXTENT, EXTENT, 20)
    grid = np.stack(np.meshgrid(axis, axis), -1)

    def path(t: float) -> tuple[float, float, float, float]:
        angle, speed = math.pi * t / 2, math.pi / 2
        if diffusion:
            return math.sin(angle), math.cos(angle), speed * math.cos(angle), -speed * math.sin(angle)
        return t, 1 - t, 1.0, -1.0

    paths, fields = [], []
    for t in times:
        alpha, sigma, _, _ = path(float(t))
        paths.append(alpha * target + sigma * noise)
    for t in shown:
        alpha, sigma, dalpha, dsigma = path(float(t))
        fields.append(dsigma / sigma * (grid - alpha * target) + dalpha * target)
    return {
        "conditional_target": target.astype(np.float32),
        "conditional_times": times,
        "conditional_paths": np.stack(paths).astype(np.float16),
        "conditional_field_times": shown,
        "conditional_fields": np.stack(fields).astype(np.float16),
    }


def path_arrays(rng: np.random.Generator, noise: float, place: int) -> dict[str, Any]:
    x0, x1 = rng.standard_normal((2000, 2)), checkerboard(rng, 2000, noise)

    def between(t: float, n: int) -> np.ndarray:
        bend = 0.25 * place * math.sin(math.pi * t)
        turned = x0[:n] @ np.array([[0.0, 1.0], [-1.0, 0.0]])
        return ((1 - t) * x0[:n] + t * x1[:n] + bend * turned).astype(np.float32)

    times = np.linspace(0, 1, 21)
    return {
        "samples": x1,
        "data": checkerboard(rng, 2000, 0.0),
        "times": times,
        "trajectories": np.stack([between(t, 64) for t in times]),
        "extent": EXTENT,
    }


def write_digits(root: Path, baseline: str, place: int) -> dict[str, Any]:
    known = identity("digits", baseline, 0, "unet")
    planned = {**known, "stages": ["train", "likelihood", "samples", "sweep"], "steps": 3000, "seconds": None}
    if baseline == "rnode":
        write_stage(root, known, "train", training(baseline, place, 0.0, {"nll_bpd": 2.1 + 0.05 * place}))
        write_stage(root, known, "likelihood", [], error="dopri5: underflow in dt 0.0")
        return planned
    quote = {"extractor": "digits", "split": "test"}
    write_stage(root, known, "train", training(baseline, place, 0.0, {"nll_bpd": 2.1 + 0.05 * place}))
    bpd = {**LIKELIHOOD, "divergence": "hutchinson", "probes": 1, "dequantisation": "uniform"}
    rows = [row("nll_bpd", 2.1 + 0.05 * place - 0.04 * (k > 1), {**bpd, "draws": k}, 500) for k in (1, 10)]
    write_stage(root, known, "likelihood", [*rows, row("nfe_likelihood", 80 + 10 * place, bpd, 500)])
    samplers: list[tuple[dict[str, Any], float, int]] = [({**ODE, "batch": 500}, 0.0, 50 + 10 * place)]
    if baseline == "ddpm":
        samplers += [
            ({"sampler": "ancestral-1000", "batch": 500, "weights": "ema"}, 0.6, 1000),
            ({"sampler": "ddim-50", "batch": 500, "weights": "ema"}, 1.4, 50),
        ]
    rows = []
    for settings, extra, nfe in samplers:
        rows += [
            row("fd_digits", 4.2 + place + extra, {**quote, **settings}, 1000),
            row("kd_digits", 0.012 + 0.004 * place + extra / 100, {**quote, **settings}, 1000),
            row("nfe_sampling", nfe, settings, 1000),
            row("sampling_seconds", 0.4 * nfe, settings, 1000),
        ]
    rng = np.random.default_rng(place)
    arrays = {"samples": digits(rng, 64, place), "data": digits(rng, 64, 0)}
    way = np.stack([digits(np.random.default_rng(7), 8, place + 20 - 4 * k) for k in range(6)])
    arrays |= {"snapshots": way, "snapshot_times": np.linspace(0, 1, 6)}
    write_stage(root, known, "samples", rows, arrays)
    sweep = [
        row("fd_digits", 4.2 + place + 60 * evaluations / nfe**1.5, {**quote, **fixed(name, nfe, evaluations)}, 500)
        for name, evaluations in (("euler", 1), ("midpoint", 2))
        for nfe in (4, 8, 20)
    ]  # fmt: skip
    few = {f"samples_midpoint_{nfe}": digits(rng, 16, place + 8 / nfe) for nfe in (4, 8, 20, 40, 60, 100)}
    write_stage(root, known, "sweep", sweep, few)
    return planned


def digits(rng: np.random.Generator, n: int, noise: float) -> np.ndarray:
    """Rings and bars of 8 x 8 pixels."""
    y, x = np.mgrid[:8, :8] - 3.5
    images = []
    for i in range(n):
        ring = np.exp(-((np.hypot(x, y * rng.uniform(0.7, 1)) - rng.uniform(1.5, 3)) ** 2) * 2)
        bar = np.exp(-((x - rng.uniform(-1, 1)) ** 2))
        picture = (ring if i % 2 else bar) + 0.08 * noise * rng.standard_normal((8, 8))
        images.append(np.clip(picture * 255, 0, 255))
    return np.stack(images).astype(np.uint8)[..., None]
