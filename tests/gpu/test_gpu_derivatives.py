"""Second derivatives on the device: maximum likelihood through the solver, through attention, with RNODE's energies."""

import copy

import pytest
import torch
from oracles import divergence
from torch import nn

from baselines.ffjord import FFJORD
from baselines.rnode import RNODE
from bench.methods.cnf import flow
from bench.methods.network import CountedNetwork
from bench.methods.ode import Solver
from bench.networks.adm import adm
from bench.networks.mlp import mlp
from bench.training.precision import full_float32


def networks() -> list[tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    unet = adm((1, 8, 8), channels=16, multiples=[1, 2], blocks=1, attention=[4, 8], head_channels=16)
    for p in unet.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return [(mlp((2,), width=16, depth=2), (2,)), (unet, (1, 8, 8))]


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("which", [0, 1], ids=["mlp", "attention"])
def test_densities_energies_and_their_gradients_are_the_cpus(device: str, which: int, adjoint: bool) -> None:
    module, shape = networks()[which]
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(6, *shape, generator=draw)
    probes = torch.randn(1, 6, *shape, generator=draw).sign()
    found = []
    for d in ("cpu", device):
        net = copy.deepcopy(module).to(d)
        with full_float32(d):
            end = flow(
                lambda net: lambda t, x: net(t.expand(len(x)), x),
                CountedNetwork(net),
                x.to(d),
                Solver("rk4", steps=4),
                probes.to(d),
                adjoint=adjoint,
            )
            (end.log_p.mean() - 0.1 * end.kinetic.mean() - 0.1 * end.jacobian.mean()).backward()
        gradients = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        found.append([part.detach().cpu() for part in (end.log_p, end.kinetic, end.jacobian, gradients)])
    for a, b in zip(*found, strict=True):
        assert torch.isfinite(b).all()
        torch.testing.assert_close(a, b, rtol=5e-3, atol=1e-3)
    assert found[0][3].norm() > 0.01


@pytest.mark.parametrize(
    "baseline", [FFJORD(rtol=1e-3, atol=1e-3), RNODE(rtol=1e-3, atol=1e-3)], ids=["ffjord", "rnode"]
)
def test_losses_through_attention_have_gradients_on_the_device(device: str, baseline: FFJORD) -> None:
    module, shape = networks()[1]
    net = CountedNetwork(module.to(device))
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)).to(device)
    loss = baseline.loss(net, x, torch.Generator(device).manual_seed(0))
    assert loss.shape == (4,)
    loss.mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters() if p.requires_grad)


def test_exact_divergence_by_batched_products_is_the_cpus(device: str) -> None:
    """On CUDA all rows of the Jacobian are taken at once, on the CPU a few."""
    module, shape = networks()[1]
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    traces = []
    for d in ("cpu", device):
        net = copy.deepcopy(module).to(d)
        with full_float32(d):
            _, found = divergence(lambda t, x, net=net: net(t.expand(len(x)), x), torch.tensor(0.5, device=d), x.to(d))
        traces.append(found.cpu())
    torch.testing.assert_close(traces[0], traces[1], rtol=1e-3, atol=1e-3)


def test_a_compiled_solver_step_has_the_eager_gradient(cuda: str) -> None:
    module, shape = networks()[0]
    x = torch.randn(64, *shape, generator=torch.Generator().manual_seed(1)).to(cuda)
    found = []
    for compiled in (False, True):
        net = copy.deepcopy(module).to(cuda)
        loss = FFJORD(rtol=1e-3, atol=1e-3).loss(CountedNetwork(net, compiled), x, torch.Generator(cuda).manual_seed(0))
        loss.mean().backward()
        found.append(
            (float(loss.mean()), torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-2, atol=1e-3)
