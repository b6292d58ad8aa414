"""Options of the methods: what is out of range, and what nothing would use, is one line of method, option and value."""

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import runs

from bench.config import beforehand
from bench.config.components import build_baseline
from bench.config.registry import baselines
from bench.config.settings import Component
from bench.errors import UsageError

SINKHORN, PAIRS = r'it needs coupling = "sinkhorn"', "it needs a coupling that is not independent"
UNUSED = [
    ("fm_ot", {"label_dropout": 0.5}, "it needs labels = true"),
    ("consistency", {"label_dropout": 0.0}, "it needs labels = true"),
    ("ot_cfm", {"regularisation": 0.3}, SINKHORN),
    ("icfm", {"regularisation": 0.3, "coupling": "drawn"}, SINKHORN),
    ("icfm", {"given_weight": 1.0}, PAIRS),
    ("sf2m", {"given_weight": 1.0, "coupling": "independent"}, PAIRS),
    ("meanflow", {"mean": 0.0, "times": "uniform"}, r'it needs times = "logit_normal"'),
    ("meanflow", {"std": 2.0, "times": "uniform"}, r'it needs times = "logit_normal"'),
    ("meanflow", {"c": 0.1, "p": 0.0}, "it needs p above 0"),
    ("shortcut", {"sections": 64, "share": 0.0}, "it needs share above 0"),
    ("shortcut", {"clip": 4.0, "share": 0.0}, "it needs share above 0"),
    ("consistency", {"b": 2.0, "k": 0.0}, "it needs k above 0"),
    ("ffjord", {"rtol": 1e-3, "rk4_steps": 4}, "it needs rk4_steps = 0"),
    ("rnode", {"atol": 1e-3, "rk4_steps": 4}, "it needs rk4_steps = 0"),
]
WRONG = [
    ("ot_cfm", {"prediction": "score"}, "only independent pairs have a score, not coupling = 'exact'"),
    ("icfm", {"prediction": "noise", "coupling": "drawn"}, "only the velocity of pairs of coupling = 'drawn'"),
    ("ot_cfm", {"regularisation": 0.0, "coupling": "sinkhorn"}, "Input should be greater than 0"),
    ("ot_cfm", {"given_weight": -1.0}, "Input should be greater than or equal to 0"),
    ("scoreflow", {"times": "edm"}, "Input should be 'uniform'"),
    ("scoreflow", {"prediction": "data"}, "Input should be 'score' or 'noise'"),
    ("sb_cfm", {"coupling": "exact"}, "Input should be 'sinkhorn'"),
    ("fm_diffusion", {"beta_min": 0.0}, "Input should be greater than 0"),
    ("ddpm", {"ddim_steps": 0}, "Input should be greater than 0"),
    ("ddpm", {"ddim_steps": 1001}, "Input should be less than or equal to 1000"),
    ("sr3", {"ancestral_steps": 1001}, "Input should be less than or equal to 1000"),
    ("edm", {"sigma_data": 1e-300}, "0, which measures it, or a number from 1e-06 is needed"),
    ("edm", {"sigma_data": 1e7}, "Input should be less than or equal to 1000000"),
    ("edm", {"mean": float("inf")}, "Input should be less than or equal to 10"),
    ("meanflow", {"mean": float("inf")}, "Input should be less than or equal to 10"),
    ("meanflow", {"p": float("inf")}, "Input should be a finite number"),
    ("consistency", {"mean": float("-inf")}, "Input should be greater than or equal to -10"),
    ("consistency", {"k": float("inf")}, "Input should be a finite number"),
    ("consistency", {"b": float("inf")}, "Input should be a finite number"),
    ("consistency", {"c": float("inf")}, "Input should be a finite number"),
    ("consistency", {"stages": 2000}, "t - r of the last stage would be lost in t"),
    ("consistency", {"stages": 7, "q": 6.0}, "t - r of the last stage would be lost in t"),
    ("sb_cfm", {"sigma": 1e200}, "Input should be less than or equal to 1000000"),
    ("sf2m", {"sigma": 1e-200}, "Input should be greater than or equal to 0.000001"),
    ("icfm", {"sigma": 1e200}, "Input should be less than or equal to 1000000"),
    ("ve", {"level_max": 1e200}, "Input should be less than or equal to 1000000"),
    ("fm_ot", {"sigma_min": -0.1}, "Input should be greater than or equal to 0"),
    ("fm_ot", {"sigma_min": 1.0}, "Input should be less than 1"),
    ("gan", {"gamma": -1.0}, "Input should be greater than or equal to 0"),
    ("gan", {"gamma": float("inf")}, "Input should be a finite number"),
    ("rnode", {"kinetic": -0.1}, "Input should be greater than or equal to 0"),
    ("ffjord", {"exact_up_to": -1}, "Input should be greater than or equal to 0"),
    ("rnode", {"jacobian": float("inf")}, "Input should be a finite number"),
    ("fm_ot", {"label_dropout": 1.0, "labels": True}, "Input should be less than 1"),
    ("edm", {"sigma_data": -1.0}, "Input should be greater than or equal to 0"),
    ("edm", {"edm_steps": 0}, "Input should be greater than 0"),
    ("ve", {"level_min": 200.0}, "a number below level_max = 100 is needed"),
    ("consistency", {"least": 90.0}, "Input should be less than 80"),
    ("consistency", {"q": 1.0}, "Input should be greater than 1"),
    ("shortcut", {"sections": 100}, "a power of 2 from 2 to 262144 is needed"),
    ("shortcut", {"sections": 2**19}, "a power of 2 from 2 to 262144 is needed"),
    ("vae", {"sigma": 0.0}, "Input should be greater than or equal to 0.000001"),
    ("vae", {"latent": -1}, "Input should be greater than or equal to 0"),
    ("vae", {"importance": 0}, "Input should be greater than 0"),
]


def test_a_finished_run_is_read_whatever_its_options_would_be_refused_for_now() -> None:
    for name, options, _ in UNUSED:
        read = build_baseline(Component(name=name, options=options))
        assert {key: getattr(read, key) for key in options} == options


@pytest.mark.parametrize(("name", "options", "message"), [*UNUSED, *WRONG])
def test_an_option_that_cannot_be_is_one_line(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = runs(tmp_path)[0].model_copy(update={"baseline": Component(name=name, options=options)})
    key, value = next(iter(options.items()))
    with pytest.raises(UsageError, match=rf"^baseline {name}: {key} = {re.escape(repr(value))}: {message}") as told:
        beforehand.validate([run])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("name", "options", "message"), UNUSED)
def test_a_default_may_be_said_where_nothing_uses_it(name: str, options: dict[str, Any], message: str) -> None:
    key, *others = options
    default = baselines[name].__dataclass_fields__[key].default
    baselines[name](**{key: default}, **{other: options[other] for other in others})
