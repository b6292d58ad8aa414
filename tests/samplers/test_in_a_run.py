"""Samplers that a suite names, through a run: their rows, and what a model lacks for them."""

import math
from pathlib import Path
from typing import Any

import pytest
from tiny import SUITE, runs

from bench.config.beforehand import validate
from bench.config.plan import plan
from bench.config.registry import samplers
from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.launch.job import Job
from bench.methods.sampler import Sampler, register_sampler
from bench.metrics.metric import FLOOR
from bench.records import records

SWEEP = """evaluation.sweep = { n = 20, nfe = [4], tolerances = [1e-1], error_n = 8, samplers = [
    "ddim", { name = "rk4", grid = "karras" }, "dopri5", "edm", "unipc", "euler_maruyama"] }
"""
SAMPLED = SUITE.replace("path_times = 5 }", "path_times = 5, samplers = [SAMPLERS] }")
SAMPLERS = '{ name = "ddim", steps = 3 }, { name = "heun2", steps = 2 }'
NONE = "not applicable: its path is OptimalTransport, and the schedule is that of VariancePreserving"


def measured(job: Job, stage: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The measurements of a stage by sampler and metric."""
    record = records.read_stage(job.root, job.run.run_id, stage)
    assert record and record["status"] == "ok"
    rows = [row for row in record["measurements"] if not row["metric"].endswith(FLOOR)]
    return {(row["settings"].get("sampler", ""), row["metric"]): row for row in rows}


@pytest.mark.slow
def test_rows_of_the_samplers_that_a_suite_names(tmp_path: Path) -> None:
    text = SAMPLED.replace("SAMPLERS", SAMPLERS) + SWEEP
    straight, diffusion = (Job(run, tmp_path / "results", tmp_path / "data") for run in runs(tmp_path, text))
    assert straight() == diffusion() == "ok"

    swept = measured(diffusion, "sweep")
    assert {sampler for sampler, _ in swept} == {"ddim", "rk4-karras", "dopri5", "edm", "unipc", "euler_maruyama"}
    # Two steps of EDM are three evaluations, and what solves the ODE has an error.
    assert [swept[name, "w2"]["place"]["nfe"] for name in ("edm", "unipc", "euler_maruyama")] == [3, 4, 4]
    assert {sampler for sampler, metric in swept if metric == "ode_error"} == {"rk4-karras", "dopri5", "edm", "unipc"}
    assert swept["edm", "w2"]["settings"]["options"]["churn"] == 0
    assert swept["ddim", "w2"]["place"] == {"nfe": 4.0} and ("ddim", "ode_error") not in swept
    assert all(math.isfinite(row["value"]) and not row["reason"] for row in swept.values())
    quoted = {"solver": "rk4", "steps": 1, "grid": "karras", "rho": 7.0, "last_step": "open"}
    assert quoted.items() <= swept["rk4-karras", "ode_error"]["settings"].items()

    swept = measured(straight, "sweep")
    assert {row["reason"] for (sampler, _), row in swept.items() if sampler == "ddim"} == {NONE}
    assert "last_step" not in swept["rk4-karras", "w2"]["settings"] and not swept["rk4-karras", "w2"]["reason"]

    drawn = measured(diffusion, "samples")
    assert drawn["heun2", "nfe_sampling"]["value"] == 4 and drawn["heun2", "w2"]["settings"]["last_step"] == "open"
    # DDPM has a sampler of its own that is the same: one row, quoted like that of any other method.
    assert drawn["ddim", "nfe_sampling"]["value"] == 3 and ("ddim-3", "w2") not in drawn
    other = measured(straight, "samples")
    assert other["ddim", "w2"]["reason"] == NONE and not other["heun2", "w2"]["reason"]
    assert other["ddim", "w2"]["settings"] == drawn["ddim", "w2"]["settings"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SUITE + 'evaluation.sweep = { samplers = ["dim"] }\n',
            "sampler 'dim'; known: .*; did you mean 'ddim'",
        ),
        (
            SAMPLED.replace("SAMPLERS", '"labels"'),
            "sampler labels: a stream of random numbers has the name; taken: samples,",
        ),
        (
            SAMPLED.replace("SAMPLERS", '{ name = "ddim", eta = 1 }'),
            "ddim: unknown option 'eta'; known: guidance, steps",
        ),
    ],
)
def test_a_bad_sampler_is_refused_before_anything_starts(
    tmp_path: Path, text: str, message: str, own_entries: None
) -> None:
    @register_sampler("labels")
    class Plain(Sampler):
        def sample(self, model: Any, x0: Any, rng: Any) -> Any:
            return x0

    with pytest.raises(UsageError, match=message) as caught:
        validate(runs(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_the_suite_of_samplers_sweeps_every_sampler_of_the_project() -> None:
    name, suite = load_suite("samplers")
    for run in plan(name, suite):
        if run.dataset.name == "checkerboard":
            assert run.evaluation.sweep
            swept_here = {component.name for component in run.evaluation.sweep.components}
            ours = {name for name, cls in samplers.items() if cls.__module__.startswith("bench.")}
            assert swept_here == ours


@pytest.mark.slow
def test_methods_of_few_steps_and_of_one_in_the_suites_that_compare_them(tmp_path: Path) -> None:
    """MeanFlow down to one evaluation by every sampler that it has, and a GAN, whose one evaluation is a sample."""

    def job(name: str, baseline: str) -> Job:
        suite, asked = load_suite(name)[1], {"baselines": [baseline], "datasets": ["checkerboard"]}
        (run,) = plan(name, suite, "smoke", settings={"training.curve_points": 0}, **asked)
        return Job(run, tmp_path / "results", tmp_path / "data")

    meanflow, gan = job("fewstep", "meanflow"), job("generators", "gan")
    assert meanflow() == gan() == "ok"
    for run, a_step in ((meanflow, 1), (gan, 5)):  # of a GAN: twice the generator, three times the discriminator
        spent = measured(run, "train")["", "nfe_training"]["value"] * 64
        assert 2000 <= spent < 2000 + 64 * a_step and spent % (64 * a_step) == 0
    swept = measured(meanflow, "sweep")
    drawn = {sampler for (sampler, metric), row in swept.items() if not row["reason"]}
    assert drawn == {"euler", "dpm_solver_pp", "flow_map", "consistency"}
    reasons = {row["reason"] for (sampler, _), row in swept.items() if sampler == "ddim"}
    assert reasons == {NONE}
    one = measured(gan, "samples")
    assert one["generator", "nfe_sampling"]["value"] == 1 and math.isfinite(
        one["generator", "energy_distance"]["value"]
    )
    assert all("not applicable: a GAN" in row["reason"] for row in measured(gan, "likelihood").values())
