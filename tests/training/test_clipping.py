"""Bounds on the gradient: formulas by hand, the own norm of each run and each phase, and the share of clipped steps."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from test_phases import pair
from torch import Tensor, nn

from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.records.seal import write_sealed
from bench.training.clipping import WINDOW, Clipping, share_clipped

DIRECTION = torch.tensor([0.6, 0.8])


def clipping(**settings: float) -> Clipping:
    return Clipping(Training(steps=1, **settings), torch.device("cpu"))


def bounded(found: Clipping, norm: float | Sequence[float]) -> Tensor:
    """The norm that a gradient of this norm is scaled to, split over two parameters; of a stack one per run."""
    of_stack = found.numbers.dim() > 1
    parameters = [nn.Parameter(torch.zeros(len(norm), 2) if of_stack else torch.zeros(2)) for _ in range(2)]
    for parameter, share in zip(parameters, (0.6, 0.8), strict=True):
        parameter.grad = share * torch.as_tensor(norm)[..., None] * DIRECTION
    found.bound(parameters)
    return torch.stack([parameter.grad.norm(dim=-1) for parameter in parameters]).norm(dim=0)


def by_hand(norms: Sequence[float], factor: float, clip: float = math.inf) -> tuple[list[float], float]:
    """What the norms are scaled to, and the share of those that are scaled."""
    kept: list[float] = []
    mean = 0.0
    for i, norm in enumerate(norms, 1):
        kept.append(min(norm, clip, factor * mean if mean else math.inf))
        mean += (kept[-1] - mean) / min(i, WINDOW)
    return kept, sum(a < b for a, b in zip(kept, norms, strict=True)) / len(norms)


def lognormal(n: int, scale: float = 1.0) -> list[float]:
    return (scale * torch.randn(n, generator=torch.Generator().manual_seed(0)).mul(0.8).exp()).tolist()


@pytest.mark.parametrize("settings", [{"clip_relative": 1.5}, {"clip_relative": 1.5, "clip": 1.2}], ids=["one", "both"])
def test_the_relative_bound_follows_the_running_mean(settings: dict[str, float]) -> None:
    norms, found = lognormal(3 * WINDOW), clipping(**settings)
    expected, share = by_hand(norms, settings["clip_relative"], settings.get("clip", math.inf))
    assert [float(bounded(found, norm)) for norm in norms] == pytest.approx(expected, rel=1e-5)
    assert share_clipped([found], len(norms)) == pytest.approx(share) and 0.1 < share < 0.6


def test_it_is_the_same_of_a_loss_in_another_unit() -> None:
    one, thousand = clipping(clip_relative=1.5), clipping(clip_relative=1.5)
    for small, large in zip(lognormal(50), lognormal(50, 1000.0), strict=True):
        assert float(bounded(thousand, large)) == pytest.approx(1000 * float(bounded(one, small)), rel=1e-4)
    assert share_clipped([one], 50) == share_clipped([thousand], 50) != 0


def test_one_outlier_is_cut_and_a_lasting_change_is_followed() -> None:
    found = clipping(clip_relative=2.0)
    assert [float(bounded(found, norm)) for norm in (1.0, 1.0, 1e6)] == pytest.approx([1, 1, 2], rel=1e-5)
    for _ in range(10 * WINDOW):
        last = float(bounded(found, 50.0))
    assert last == pytest.approx(50)


def test_a_gradient_of_zeros_sets_no_bound() -> None:
    found = clipping(clip_relative=2.0)
    assert [float(bounded(found, norm)) for norm in (0.0, 5.0)] == pytest.approx([0, 5])


def test_a_fixed_bound_is_that_of_torch_bit_for_bit_and_counted() -> None:
    found, expected = clipping(clip=1.0), []
    for norm in lognormal(40):
        parameter, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        parameter.grad, other.grad = norm * DIRECTION, norm * DIRECTION
        found.bound([parameter])
        expected.append(float(nn.utils.clip_grad_norm_([other], 1.0)) > 1)
        assert torch.equal(parameter.grad, other.grad)
    assert share_clipped([found], 40) == sum(expected) / 40 and {*expected} == {True, False}


def test_what_is_not_finite_stays_so_and_only_in_its_own_run() -> None:
    runs = [clipping(clip_relative=1.5) for _ in range(3)]
    stack = clipping(clip_relative=1.5)
    stack.join(runs)
    alone = clipping(clip_relative=1.5)
    for norm in ([1.0, 1.0, 1.0], [1.0, math.nan, 9.0], [2.0, 1.0, 1.0]):
        kept = bounded(stack, norm)
        assert float(kept[2]) == pytest.approx(float(bounded(alone, norm[2])))
    assert torch.isfinite(kept).tolist() == [True, False, True]
    assert runs[2].numbers.tolist() == pytest.approx([3.5 / 3, 3, 1]) and alone.numbers[2] == 1


def test_every_phase_has_a_bound_of_its_own(points: Dataset) -> None:
    both = pair(points, clip_relative=1.01)
    for _ in range(20):
        both.take_step()
    critic, generator = both.clippings
    assert critic.numbers[1] == generator.numbers[1] == 20 and critic.numbers[0] != generator.numbers[0]
    assert share_clipped([critic, generator], 20) == float(critic.numbers[2] + generator.numbers[2]) / 40 != 0


def test_of_steps_that_were_not_counted_there_is_no_share(points: Dataset, tmp_path: Path) -> None:
    """As of a training that was begun, or finished, by code that kept no numbers."""
    run = pair(points, clip_relative=1.01)
    for _ in range(3):
        run.take_step()
    run.save(tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=False)
    del content["clippings"]
    write_sealed(tmp_path / "a.pt", lambda path: torch.save(content, path))
    old = pair(points, clip_relative=1.01)
    assert old.restore(tmp_path / "a.pt", lambda text: None) and old.step == 3
    assert share_clipped(run.clippings, run.step) is not None and share_clipped(old.clippings, old.step) is None
    old.take_step()
    assert share_clipped(old.clippings, old.step) is None


def test_a_bound_below_the_mean_is_refused() -> None:
    with pytest.raises(ValidationError, match="clip_relative"):
        Training(steps=1, clip_relative=1.0)


@pytest.mark.parametrize("key", ["clip", "clip_relative"])
@pytest.mark.parametrize("zero", [0, 0.0, False])
def test_zero_is_no_bound(key: str, zero: float) -> None:
    """An override takes a bound away by it, and the run is that of a suite without one."""
    assert Training(**{"steps": 1, key: zero}) == Training(steps=1)
    with pytest.raises(ValidationError, match=key):
        Training(**{"steps": 1, key: -1})
