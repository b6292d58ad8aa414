"""Coupling layers: an exact inverse and an exact density, by one evaluation either way."""

from itertools import islice, product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.nice import NICE
from baselines.realnvp import RealNVP
from bench.config.registry import datasets
from bench.errors import NotApplicable, UsageError
from bench.methods.baseline import About
from bench.methods.coupling_layers import CouplingLayer, CouplingLayers, Forward, Inverse, Stretch, masks
from bench.methods.density import log_normal
from bench.methods.network import CountedNetwork
from bench.networks.mlp import mlp


class Small:
    """A `make` of small perceptrons."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def network(self, shape: tuple[int, ...] = (), **inputs: Any) -> nn.Module:
        return mlp(shape or self.shape, width=16, depth=2, **inputs)


def flow(method: CouplingLayers, shape: tuple[int, ...]) -> CountedNetwork:
    """Layers in double precision, none of whose parameters is zero."""
    torch.manual_seed(0)
    module = method.build(Small(shape), About(shape)).double()
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] in ("s", "limit"):
            nn.init.normal_(parameter)
    return CountedNetwork(module)


def test_halves_and_their_complements() -> None:
    assert [mask.tolist() for mask in islice(masks((3,)), 3)] == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]


def test_a_checkerboard_and_the_channels_that_a_squeeze_puts_first() -> None:
    board, other, rows, last, again = islice(masks((2, 4, 4)), 5)
    assert board[1, :2].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]] and torch.equal(board + other, torch.ones(2, 4, 4))
    squeezed = nn.functional.pixel_unshuffle(rows, 2).unflatten(0, (2, 4))  # (C, 4, H / 2, W / 2)
    assert squeezed[:, :2].eq(1).all() and squeezed[:, 2:].eq(0).all()
    assert torch.equal(last, 1 - rows) and torch.equal(again, board)


@pytest.mark.parametrize(("method", "shape"), product((RealNVP(6), NICE(6)), ((2,), (5,), (2, 4, 4))))
def test_the_inverse_is_exact_and_the_density_is_that_of_the_jacobian(
    method: CouplingLayers, shape: tuple[int, ...]
) -> None:
    net = flow(method, shape)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z, log_det = method.encoded(net, x)
        assert net.rows == 3
        back = method.model(net).samplers["inverse"](z.view_as(x), None)
        assert net.rows == 6 and (z - x.flatten(1)).abs().max() > 0.1
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda y: method.encoded(net, y[None])[0][0], x[i])
        torch.testing.assert_close(log_det[i], jacobian.reshape(z.shape[1], -1).slogdet().logabsdet)
    torch.testing.assert_close(method.log_prob(net, x), log_normal(z) + log_det)
    assert torch.equal(method.loss(net, x, torch.Generator()), -method.log_prob(net, x))
    if isinstance(method, NICE):
        torch.testing.assert_close(log_det, net.module["encoder"][-1].s.sum().expand(3))


@pytest.mark.parametrize("method", [RealNVP(), NICE()])
def test_the_inverse_in_single_precision(method: CouplingLayers) -> None:
    """x -> z -> x to 1e-5, of the layers as they start."""
    torch.manual_seed(0)
    module = method.build(Small((2,)), About((2,)))
    x = 4 * torch.randn(1000, 2)
    z = module["encoder"](x)[:, :-1]
    assert (module["decoder"](z) - x).abs().max() < 1e-5


class Formula(nn.Module):
    """What is changed by what is kept: (s, m) = W kept, with W = sin(10 layer + 1/2), sin(10 layer + 3/2), ..."""

    def __init__(self, layer: int, mask: Tensor, affine: bool) -> None:
        super().__init__()
        self.kept, self.affine = mask.bool(), affine
        self.w = torch.sin(torch.arange(8.0, dtype=torch.float64) + 10 * layer + 0.5).view(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        s, m = (x[:, :4][:, self.kept] @ self.w.T).chunk(2, 1)
        found = x.new_zeros(2, len(x), 4)
        found[:, :, ~self.kept] = torch.stack([s, m])
        return torch.cat([*found], 1) if self.affine else found[1]


# log_prob of zuko 1.6.0: NormalizingFlow of four CouplingTransform over DiagNormal(0, 1) with the same s and m.
ZUKO = {True: [-30.98481061, -15.32408996, -5.795340631], False: [-7.845502468, -5.99528467, -4.699407848]}


@pytest.mark.parametrize("affine", [True, False])
def test_the_density_is_zukos(affine: bool) -> None:
    layers = [CouplingLayer(Formula(i, m, affine), m.double(), affine) for i, m in enumerate(islice(masks((4,)), 4))]
    module = nn.ModuleDict({"encoder": Forward(layers), "decoder": Inverse(layers)})
    x = torch.arange(12.0, dtype=torch.float64).cos().view(3, 4)
    method = RealNVP() if affine else NICE()
    found = method.log_prob(CountedNetwork(module.double()), x).tolist()
    assert found == pytest.approx(ZUKO[affine], rel=1e-8)


def test_what_coupling_layers_are_not_for() -> None:
    with pytest.raises(NotApplicable, match="two variables"):
        RealNVP().build(Small((1,)), About((1,)))
    with pytest.raises(NotApplicable, match="given nothing"):
        NICE().build(Small((2,)), About((2,), given=(3,)))
    with pytest.raises(UsageError, match=r"^baseline nice: layers = 1: 2 or more are needed$"):
        NICE(layers=1).build(Small((2,)), About((2,)))


def test_nice_scales_last() -> None:
    *_, last = flow(NICE(3), (2,)).module["encoder"]
    s, m = last(torch.ones(4, 2, dtype=torch.float64))
    assert isinstance(last, Stretch) and torch.equal(s[0], last.s) and not m.any()


@pytest.mark.slow
def test_a_trained_density_has_mass_1_and_is_no_better_than_the_floor(tmp_path: Any) -> None:
    data = datasets["checkerboard"](tmp_path, 4000, 2000)
    torch.manual_seed(0)
    method = RealNVP(layers=4)
    net = CountedNetwork(method.build(Small((2,)), About((2,))))
    optimiser = torch.optim.Adam(net.module.parameters(), 1e-2)
    for step in range(120):
        optimiser.zero_grad()
        method.loss(net, data.train[torch.arange(256) + 256 * (step % 15)], torch.Generator()).mean().backward()
        nn.utils.clip_grad_norm_(net.module.parameters(), 1.0)
        optimiser.step()
    side = torch.linspace(-8, 8, 161)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = method.log_prob(net, grid).exp()
        nll = -method.log_prob(net, data.test).mean()
        floor = -data.log_prob(data.test).mean()
    within = grid.abs().amax(1) <= 4
    assert float(density.sum()) * (16 / 160) ** 2 == pytest.approx(1, abs=0.01)
    assert float(density[within].mean()) * 64 > 0.9, "the density is elsewhere than the data"
    assert floor < nll < 4.4  # that of the best Gaussian is 4.51
