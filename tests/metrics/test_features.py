"""Running sums are the statistics of the whole set, however it arrives."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.metrics.extractors import features
from bench.metrics.extractors.features import KEPT, SUMS, Features, split_of

N, DIM, CLASSES = 256, 12, 7
DRAW = torch.Generator().manual_seed(0)
WEIGHTS = torch.randn(3 * 4 * 4, DIM + CLASSES, generator=DRAW) / 40
PIXELS = torch.randint(0, 256, (N, 3, 4, 4), generator=DRAW, dtype=torch.uint8)


def network(pixels: Tensor) -> tuple[Tensor, Tensor]:
    both = pixels.float().flatten(1) @ WEIGHTS
    return both[:, :DIM], both[:, DIM:]


def empty(n: int = N, origin: float = 10.0, batch: int = 64) -> Features:
    return Features(n, network, torch.full((DIM,), origin), CLASSES, batch)


def collected(*sizes: int, batch: int = 64) -> Features:
    found = empty(batch=batch)
    for start, stop in itertools.pairwise((0, *itertools.accumulate(sizes))):
        found.update(PIXELS[start:stop], start)
    return found


def test_mean_and_covariance_are_numpys() -> None:
    found, direct = collected(N), network(PIXELS)[0].double().numpy()
    np.testing.assert_allclose(found.mean, direct.mean(0), rtol=1e-12)
    expected = np.cov(direct, rowvar=False)
    assert np.abs(found.covariance.numpy() - expected).max() < 1e-10 * np.abs(expected).max()


def test_a_far_origin_loses_digits_and_a_near_one_does_not() -> None:
    """What the origin is for: features of 1e6 + N(0, 1), whose covariance naive sums get wrong in the third digit."""
    x = 1e6 + torch.randn(500, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = np.cov(x.numpy(), rowvar=False)
    errors = []
    for origin in (0.0, 1e6):
        found = Features(500, lambda pixels: (x, x[:, :0]), torch.full((3,), origin), batch=500)
        found.update(torch.zeros(500, 1, 1, 1, dtype=torch.uint8), 0)
        errors.append(np.abs(found.covariance.numpy() - expected).max())
    assert errors[1] < 1e-10 < errors[0]


def test_inception_score_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    expected = isc_features_to_metric(network(PIXELS)[1])
    assert expected["inception_score_std"] > 0.01
    assert collected(N).inception_score() == pytest.approx(tuple(expected.values()), rel=1e-12)


def test_inception_score_of_confident_and_even_labels_is_the_number_of_classes() -> None:
    logits = 1e3 * torch.eye(5).repeat(40, 1)[torch.argsort(split_of(200, 10), stable=True).argsort()]
    found = Features(200, lambda pixels: (logits[:, :1], logits), torch.zeros(1), 5, batch=200)
    found.update(torch.zeros(200, 1, 1, 1, dtype=torch.uint8), 0)
    assert found.inception_score() == pytest.approx((5, 0))


@pytest.mark.parametrize("n", [4, 9, 10, 257])
def test_splits_differ_by_one_image_at_most(n: int) -> None:
    sizes = torch.bincount(split_of(n, min(10, n)).long())
    assert len(sizes) == min(10, n) and sizes.sum() == n and sizes.max() - sizes.min() <= 1


def test_uneven_updates_equal_one() -> None:
    whole, parts = collected(N), collected(1, 100, 63, 92, batch=17)
    for name in SUMS:
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-6)
    assert parts.count == N


def test_shares_of_two_ranks_merge_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches dealt out in turn, one by one, as ranks do it; `total` adds what the other rank has."""
    shares = [empty(), empty()]
    for turn, start in enumerate(range(0, N, 50)):
        shares[turn % 2].update(PIXELS[start : start + 50], start)
    assert not any(share.count == N for share in shares)
    others = iter([getattr(shares[1], name) for name in (*SUMS, "lost")])
    monkeypatch.setattr(features.ranks, "total", lambda tensor: tensor.add_(next(others)))
    shares[0].merge()
    whole = collected(*[50] * 5, 6)
    for name in SUMS:
        torch.testing.assert_close(getattr(shares[0], name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    assert next(others, None) is None
    assert torch.equal(shares[0].kept, network(PIXELS)[0])


def test_memory_does_not_grow_with_n() -> None:
    sizes = [sum(t.numel() for t in empty(n).state().values()) for n in (KEPT, 3 * KEPT)]
    assert sizes[0] == sizes[1]


def test_kept_images_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "KEPT", 100)
    found = collected(100, 156, batch=30)
    assert found.kept.shape == (100, DIM)
    torch.testing.assert_close(found.kept, network(PIXELS)[0][torch.arange(100) * N // 100])


def test_state_survives_a_file(tmp_path) -> None:
    found = collected(N)
    torch.save(found.state(), tmp_path / "state.pt")
    loaded = Features.load(torch.load(tmp_path / "state.pt", weights_only=True), network, "cpu")
    assert all(torch.equal(getattr(loaded, name), getattr(found, name)) for name in ("origin", *SUMS))
    assert (loaded.n, loaded.classes) == (N, CLASSES)


@pytest.mark.parametrize("start", [-1, N - 3])
def test_images_beyond_the_set_are_refused(start: int) -> None:
    with pytest.raises(ValueError, match=f"images {start} to {start + 3} of {N}"):
        empty().update(PIXELS[:4], start)
