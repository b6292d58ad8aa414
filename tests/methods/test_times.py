"""Laws of t against their distribution functions, on each path."""

from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from scipy.stats import kstest, norm

from baselines.fm_ot import FlowMatchingOT
from baselines.reflow import Reflow
from baselines.sb_cfm import SBCFM
from baselines.sf2m import SF2M
from bench.methods.baseline import Phase, losses
from bench.methods.batch import Batch, Context
from bench.methods.paths import OptimalTransport, Path, Trigonometric, VariancePreserving, time_of_level
from bench.methods.times import Times, draw_times, logit_normal

PATHS: list[Path] = [OptimalTransport(), OptimalTransport(0.1), Trigonometric(), VariancePreserving()]
N = 4000


def cdf(law: Times, path: Path, t: torch.Tensor) -> torch.Tensor:
    if law == "uniform":
        return t / path.t_end
    if law == "logit_normal":
        return torch.from_numpy(norm.cdf(torch.log(t / (path.t_end - t)).numpy()))
    level = path.sigma(t) / path.alpha(t)  # falls as t rises
    return torch.from_numpy(1 - norm.cdf((torch.log(level).numpy() + 1.2) / 1.2))


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("law", ["uniform", "logit_normal", "edm"])
def test_times_have_their_law_and_stay_on_the_path(law: Times, path: Path) -> None:
    t = draw_times(law, path, torch.zeros(N, 2), torch.Generator().manual_seed(0))
    assert t.shape == (N,) and t.dtype == torch.float32
    assert t.min() >= 0 and t.max() <= path.t_end
    # Levels below the path's last, as those of 1 in 8 draws where sigma_min = 0.1, count as that.
    inside = t[t < path.t_end].double()
    last = torch.tensor(path.t_end, dtype=torch.float64)
    whole = 1.0 if law != "edm" else float(norm.sf((torch.log(path.sigma(last) / path.alpha(last)) + 1.2) / 1.2))
    assert len(inside) / N == pytest.approx(whole, abs=0.02)
    if law == "edm" and whole < 0.99:
        return
    assert kstest(cdf(law, path, inside).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_path_knows_when_it_has_a_level(path: Path) -> None:
    """Each closed form is what bisection finds, beyond the ends too."""
    levels = torch.tensor([0.0, 1e-4, 0.002, 0.05, 1.0, 30.0, 200.0, 1e6], dtype=torch.float64)
    t = path.at_level(levels)
    torch.testing.assert_close(t, time_of_level(path, levels, path.t_end), rtol=0, atol=1e-9)
    torch.testing.assert_close((path.sigma(t) / path.alpha(t))[4:6], levels[4:6], rtol=1e-6, atol=0)


@pytest.mark.parametrize("cls", [FlowMatchingOT, Reflow, SBCFM, SF2M])
def test_a_loss_is_taken_at_times_of_the_law_that_is_asked_for(cls: Any) -> None:
    for law in get_args(Times):
        asked = list[torch.Tensor]()

        def net(t: torch.Tensor, x: torch.Tensor, asked: list[torch.Tensor] = asked) -> torch.Tensor:
            asked.append(t)
            return x

        whole: Any = SimpleNamespace(of=lambda rows: net)
        method, x1 = cls(times=law), torch.zeros(50, 2)
        parts = {"flow": net if cls is SF2M else whole, "score": net}
        rng = torch.Generator().manual_seed(4)
        losses(method, Phase(), parts if cls in (Reflow, SF2M) else net, Batch(x1), Context(rng))
        expected = draw_times(law, OptimalTransport(), x1, torch.Generator().manual_seed(4))
        assert all(torch.equal(t, expected) for t in asked) and asked


def test_a_logit_normal_has_the_mean_and_the_spread_that_is_asked_for() -> None:
    t = logit_normal(torch.zeros(N, 2), torch.Generator().manual_seed(0), mean=0.4, std=2.0)
    assert kstest(torch.logit(t.double()).numpy(), norm(0.4, 2.0).cdf).pvalue > 0.01
