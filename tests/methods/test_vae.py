"""A VAE with linear networks, whose density is that of probabilistic PCA: its bounds by closed forms."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from baselines.vae import VAE
from bench.errors import NotApplicable
from bench.methods.baseline import About
from bench.methods.network import CountedNetwork
from bench.networks.mlp import mlp

W = torch.tensor([[0.9, -0.3], [0.2, 0.7], [-0.5, 0.4]])
CENTRE, SIGMA = torch.tensor([0.3, -0.2, 0.1]), 0.4
COVARIANCE = W @ W.T + SIGMA**2 * torch.eye(3)
POSTERIOR = torch.linalg.inv(W.T @ W / SIGMA**2 + torch.eye(2))  # diagonal only if the columns of W are orthogonal


class Linear(nn.Module):
    """W z + b of a lifted code, its first two numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] @ W.T + CENTRE


class Encoding(nn.Module):
    """The mean of the exact posterior, moved by `off`, and a log s."""

    def __init__(self, off: float, log_s: Tensor) -> None:
        super().__init__()
        self.off, self.log_s = off, log_s

    def forward(self, x: Tensor) -> Tensor:
        mean = (x - CENTRE) @ W @ POSTERIOR / SIGMA**2 + self.off
        return torch.cat([mean, self.log_s.expand(len(x), 2)], 1)


class Making:
    """A `make` of what it is given, the encoder by its `out`."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder

    def network(self, out: int | None = None, **_: Any) -> nn.Module:
        return Linear() if out is None else self.encoder


def pca(off: float = 0.3, **options: Any) -> tuple[VAE, CountedNetwork]:
    vae = VAE(latent=2, sigma=SIGMA, **options)
    module = vae.build(Making(Encoding(off, POSTERIOR.diag().log() / 2)), About((3,)))
    with torch.no_grad():
        module["decoder"].lift.weight.copy_(torch.eye(3, 2))
        module["decoder"].lift.bias.zero_()
    return vae, CountedNetwork(module)


def exact(x: Tensor) -> Tensor:
    return MultivariateNormal(CENTRE, COVARIANCE).log_prob(x)


def of_data(n: int) -> Tensor:
    return MultivariateNormal(CENTRE, COVARIANCE).sample((n,))


def seeded(seed: int = 0) -> torch.Generator:
    torch.manual_seed(1)
    return torch.Generator().manual_seed(seed)


def test_the_bound_is_the_likelihood_less_the_divergence_of_the_posterior() -> None:
    """E bound = log p(x) - KL(q || p(z|x)), both Gaussian: of a full covariance and of a diagonal one."""
    vae, net = pca()
    rng, x = seeded(), of_data(1)
    q = Independent(Normal(torch.zeros(2) + 0.3, POSTERIOR.diag().sqrt()), 1)
    gap = torch.distributions.kl_divergence(
        MultivariateNormal(q.mean, torch.diag(q.variance)), MultivariateNormal(torch.zeros(2), POSTERIOR)
    )
    with torch.no_grad():
        draws = vae.bound(net, x.expand(40000, 3), rng)
        weights = vae.log_weight(net, x.expand(40000, 3), rng)
    expected = float(exact(x)[0] - gap)
    for found in (draws, weights):
        assert float(found.mean()) == pytest.approx(expected, abs=5 * float(found.std()) / 200)
    assert float(weights.double().exp().mean().log()) == pytest.approx(float(exact(x)[0]), abs=0.02)


def test_each_term_is_that_of_torchs_distributions() -> None:
    vae, net = pca()
    x, e = of_data(5), torch.randn(5, 2, generator=seeded(7))
    m, log_s = net["encoder"](x).chunk(2, 1)
    z = m + log_s.exp() * e
    prior, q = Independent(Normal(torch.zeros(5, 2), 1.0), 1), Independent(Normal(m, log_s.exp()), 1)
    log_p = Independent(Normal(z @ W.T + CENTRE, SIGMA), 1).log_prob(x)
    found = vae.terms(net, x, seeded(7))
    kl = torch.distributions.kl_divergence(q, prior)
    for term, expected in zip(found, (log_p, prior.log_prob(z) - q.log_prob(z), kl), strict=True):
        torch.testing.assert_close(term, expected)
    torch.testing.assert_close(vae.loss(net, x, seeded(7)), kl - log_p)


def test_the_loss_of_k_weights_is_that_of_importance_weighting() -> None:
    vae, net = pca(importance=3)
    x, rng = of_data(4), seeded(3)
    weights = torch.stack([vae.log_weight(net, x, rng) for _ in range(3)]).exp()
    torch.testing.assert_close(vae.loss(net, x, seeded(3)), -weights.mean(0).log())


def test_samples_have_the_law_of_the_model() -> None:
    vae, net = pca()
    samplers = vae.model(net).samplers
    assert [*samplers] == ["decoder", "mean"]
    x0 = torch.randn(40000, 3, generator=seeded(1))
    with torch.no_grad():
        noisy, mean = (samplers[name](x0, seeded(2)) for name in samplers)
    assert net.rows == 2 * len(x0)
    torch.testing.assert_close(noisy.T.cov(), COVARIANCE, atol=0.03, rtol=0)
    torch.testing.assert_close(mean, x0[:, :2] @ W.T + CENTRE)


def test_a_code_may_be_longer_than_the_sample() -> None:
    vae = VAE(latent=5)
    torch.manual_seed(0)

    class Make:
        def network(self, **inputs: Any) -> nn.Module:
            return mlp((3,), width=8, depth=1, **inputs)

    net = CountedNetwork(vae.build(Make(), About((3,))))
    x0 = torch.randn(6, 3, generator=seeded(1))
    first, again, other = (vae.model(net).samplers["mean"](x0, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == (6, 3)


def test_sigma_is_learnt_or_fixed() -> None:
    for learn in (True, False):
        log_sigma = pca(learn_sigma=learn)[1]["decoder"].module.log_sigma
        assert log_sigma.requires_grad == learn and log_sigma.item() == pytest.approx(math.log(SIGMA))


def test_what_it_is_not_for() -> None:
    with pytest.raises(NotApplicable, match="given nothing"):
        VAE().build(None, About((2,), given=(3,)))
