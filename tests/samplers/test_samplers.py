"""What holds of every sampler in the registry, and DDIM and ancestral sampling against a Gaussian's closed form."""

from dataclasses import fields, replace

import pytest
import torch
from oracles import GaussianMixture, field, whitened

from bench.config.options import checked_options
from bench.config.registry import samplers
from bench.config.sampling import build_sampler, swept
from bench.config.settings import Component, Sweep
from bench.errors import NotApplicable, UsageError
from bench.methods.model import Model
from bench.methods.paths import VariancePreserving
from bench.methods.sampler import Sampler
from bench.samplers.ancestral import Ancestral
from bench.samplers.ddim import DDIM

VP = VariancePreserving()
MEAN, VARIANCE = [0.5, -1.0], [0.25, 0.04]
DATA = GaussianMixture.single(MEAN, VARIANCE)
STEPS = {"euler": 400, "ancestral": 1000, "ddim": 200, "euler_maruyama": 400, "consistency": 2}
NOISY = ("ancestral", "euler_maruyama", "sde", "consistency")
# Their noise is their own: the variance of 4000 draws has a standard error of 2%.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "ancestral")) for name in samplers]

OTHERS = {
    **{
        "steps": 7,
        "rtol": 1e-2,
        "atol": 1e-2,
        "rho": 3.0,
        "grid": "cosine",
        "last_step": "own",
        "scale": 0.5,
        "diffusion": 0.5,
    },
    **{
        "order": 1,
        "solver_order": 3,
        "churn": 5.0,
        "churn_min": 0.1,
        "churn_max": 1.0,
        "churn_noise": 1.003,
        "guidance": 2.0,
    },
}


class Counted:
    """The exact capabilities of a model of Gaussian data; one evaluation per call, as if each asked a network once."""

    def __init__(self) -> None:
        self.calls = 0

    def model(self) -> Model:
        velocity = field(DATA, VP)

        def counted(t, x):  # type: ignore[no-untyped-def]
            self.calls += 1
            return velocity(t, x)

        eps = lambda t, x: VP.eps_from_velocity(t, x, counted(t, x))  # noqa: E731
        score = lambda t, x: -eps(t, x) / VP.sigma(t)  # noqa: E731

        def leads(t, r, x):  # type: ignore[no-untyped-def]
            self.calls += 1
            mean, variance = (torch.tensor(v, dtype=torch.float64) for v in (MEAN, VARIANCE))
            before, after = (torch.sqrt(VP.alpha(s) ** 2 * variance + VP.sigma(s) ** 2) for s in (t, r))
            return VP.alpha(r) * mean + after / before * (x - VP.alpha(t) * mean)

        end = torch.tensor(VP.t_end, dtype=torch.float64)
        maps = {"flow_map": leads, "consistency": lambda t, x: leads(t, end, x)}
        return Model(counted, VP.t_end, VP, score=score, eps=eps, **maps)


def fine(name: str) -> Sampler:
    adaptive = "rtol" in {f.name for f in fields(samplers[name])}
    options: dict[str, object] = {"rtol": 1e-3, "atol": 1e-3} if adaptive else {"steps": STEPS.get(name, 60)}
    return build_sampler(Component(name=name, options=options))


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_draws_from_a_gaussian(name: str) -> None:
    counted, sampler = Counted(), fine(name)
    x0 = whitened(4000 if name in NOISY else 200, 2)
    rng = torch.Generator().manual_seed(0)
    x = sampler.draw(counted.model(), x0, rng)
    assert x.shape == x0.shape and x.dtype == x0.dtype
    torch.testing.assert_close(x.mean(0), torch.tensor(MEAN, dtype=torch.float64), rtol=0, atol=0.035)
    torch.testing.assert_close(x.var(0), torch.tensor(VARIANCE, dtype=torch.float64), rtol=0.1, atol=0)
    assert counted.calls == (sampler.evaluations or counted.calls)
    again = sampler.draw(Counted().model(), x0, torch.Generator().manual_seed(0))
    assert torch.equal(again, x)


@pytest.mark.parametrize("name", samplers)
def test_a_sampler_is_not_applicable_to_a_model_without_anything(name: str) -> None:
    with pytest.raises(NotApplicable, match="the model has no"):
        fine(name).draw(Model(), torch.zeros(2, 2), torch.Generator())


@pytest.mark.parametrize("name", samplers)
def test_a_record_quotes_every_option_that_is_not_the_defaults(name: str) -> None:
    sampler, model = fine(name), Counted().model()
    for f in fields(sampler):
        other = OTHERS[f.name]
        before = replace(sampler, grid="karras") if f.name == "rho" and hasattr(sampler, "grid") else sampler
        before = replace(sampler, churn=1.0) if f.name.startswith("churn_") else before
        after = replace(before, **{f.name: other})
        assert before.quote(model) != after.quote(model)


def test_ddim_is_the_product_of_its_steps_on_a_gaussian() -> None:
    """Of x ~ N(0, S) eps = sigma x / (alpha^2 S + sigma^2), so that each step of Song et al. multiplies x."""
    spread, steps = 0.3, 4
    data = GaussianMixture.single([0.0], [spread])
    velocity = field(data, VP)
    model = Model(velocity, VP.t_end, VP, eps=lambda t, x: VP.eps_from_velocity(t, x, velocity(t, x)))
    x = DDIM(steps).draw(model, torch.ones(1, 1, dtype=torch.float64), torch.Generator())
    beta = torch.linspace(VP.beta_min / 1000, VP.beta_max / 1000, 1000, dtype=torch.float64)
    bars = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])  # alpha-bar after k steps of noise
    expected = 1.0
    for i in range(steps, 0, -1):
        k, j = i * 250, (i - 1) * 250
        t = torch.tensor(1 - k / 1000, dtype=torch.float64)
        eps = float(VP.sigma(t) / (VP.alpha(t) ** 2 * spread + VP.sigma(t) ** 2))
        data_of = (1 - float((1 - bars[k]).sqrt()) * eps) / float(bars[k].sqrt())
        expected *= float(bars[j].sqrt()) * data_of + float((1 - bars[j]).sqrt()) * eps
    assert float(x) == pytest.approx(expected, rel=1e-4)


def test_ancestral_sampling_draws_noise_of_its_own() -> None:
    draws = [
        Ancestral(10).draw(Counted().model(), torch.zeros(3, 2), torch.Generator().manual_seed(seed)) for seed in (0, 1)
    ]
    assert not torch.equal(*draws)


# What a suite may say.


def names(**sweep: object) -> list[str]:
    return [f"{sampler}" for sampler in swept(Sweep.model_validate(sweep))]


def test_a_sweep_is_by_default_that_of_the_solvers_and_an_adaptive_one() -> None:
    expected = ["euler-4", "euler-8", "midpoint-2", "midpoint-4", "rk4-1", "rk4-2"]
    expected += ["dormand_prince-0.1", "dormand_prince-0.01"]
    assert names(nfe=[4, 8], tolerances=[1e-1, 1e-2]) == expected
    assert names(nfe=[6], tolerances=[], solvers=["rk4", "heun3"]) == ["heun3-2"]


def test_a_sweep_takes_any_sampler_with_its_options() -> None:
    asked = ["ddim", {"name": "heun2", "grid": "karras"}, {"name": "euler", "steps": 3}, {"name": "bosh3", "rtol": 0.1}]
    found = names(nfe=[4, 8], tolerances=[1e-2], samplers=asked)
    assert found == ["ddim-4", "ddim-8", "heun2-karras-2", "heun2-karras-4", "euler-3", "bosh3-0.1-1e-05"]


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("ruler", "unknown sampler 'ruler'; known: .*; did you mean 'euler'"),
        (
            {"name": "euler", "grit": "karras"},
            "sampler euler: unknown option 'grit'; known: grid, guidance, rho, steps",
        ),
        (
            {"name": "euler", "grid": "carras"},
            "sampler euler: grid = 'carras': .*'uniform', 'cosine', 'flow', 'logsnr'",
        ),
        ({"name": "ddim", "steps": 1001}, "sampler ddim: steps = 1001: .*less than or equal to 1000"),
        ({"name": "euler", "rho": 5}, "sampler euler: rho = 5 is of grid 'karras'; grid = 'uniform' has none"),
        ({"name": "edm", "churn_min": 3}, "sampler edm: churn_min = 3: it needs churn above 0"),
        ({"name": "edm", "churn_max": 3}, "sampler edm: churn_max = 3: it needs churn above 0"),
        ({"name": "edm", "churn_noise": 1.5}, "sampler edm: churn_noise = 1.5: it needs churn above 0"),
        (
            {"name": "edm", "churn": 1, "churn_min": 3, "churn_max": 2},
            "sampler edm: churn_min = 3: a number up to churn_max = 2 is needed",
        ),
        ({"name": "rk4", "steps": 0}, "sampler rk4: steps = 0: .*greater than 0"),
        ("heun3", r"sampler heun3: no nfe of \[4, 8\] is a multiple of 3"),
    ],
)
def test_a_bad_sampler_is_refused_in_one_line(sampler: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        names(nfe=[4, 8], samplers=[sampler])
    assert "\n" not in str(caught.value)


def test_what_a_samplers_constructor_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: DDIM, steps: int) -> None:
        raise ValueError("steps must be a multiple\nof 3")

    monkeypatch.setattr(DDIM, "__init__", refuse)
    with pytest.raises(UsageError, match=r"^sampler ddim: \{'steps': 4\}: ValueError: steps must be a multiple of 3$"):
        names(nfe=[4], samplers=["ddim"])


def test_a_sampler_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="sampler euler-4: named twice"):
        names(nfe=[4], samplers=["euler", {"name": "euler", "steps": 4}])


def test_options_come_in_their_types() -> None:
    assert checked_options(samplers, Component(name="dopri5", options={"rtol": 1})) == {"rtol": 1.0}
