"""Data space and model space: the maps of points, of images, and of a space that a dataset brings along."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.components import about, build_network
from bench.config.settings import Component
from bench.datasets.base import Dataset
from bench.datasets.contract import checked
from bench.errors import UsageError

RNG = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (6, 1, 4, 4), generator=RNG, dtype=torch.uint8)
GREY = torch.randint(0, 17, (6, 1, 4, 4), generator=RNG, dtype=torch.uint8)
POINTS = torch.randn(6, 3, generator=RNG)


class Rotated:
    """Points turned by an orthogonal matrix, which keeps volumes."""

    keeps_density = True

    def __init__(self) -> None:
        self.turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return stored @ self.turn

    def decode(self, x: Tensor) -> Tensor:
        return x @ self.turn.T


class Halves:
    """Images as the means of their halves, a map to two dimensions that loses what it leaves out."""

    keeps_density = False

    def encode(self, stored: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return stored.float().unflatten(2, (2, -1)).mean((1, 3, 4)) / 128 - 1

    def decode(self, x: Tensor) -> Tensor:
        values = ((x + 1) * 128).clamp(0, 255).to(torch.uint8)
        return values.repeat_interleave(2, 1)[:, None, :, None].expand(-1, 1, 4, 4)


def test_points_are_themselves() -> None:
    data = Dataset("points", "1", POINTS, POINTS)
    assert data.encode(POINTS, RNG) is POINTS and data.decode(POINTS) is POINTS
    assert data.shape == data.stored_shape == (3,) and data.keeps_density and not data.is_plane
    assert Dataset("plane", "1", POINTS[:, :2], POINTS[:, :2]).is_plane


@pytest.mark.parametrize(("stored", "levels"), [(PIXELS, 256), (GREY, 17)])
def test_an_image_lies_in_the_bin_of_its_level(stored: Tensor, levels: int) -> None:
    data = Dataset("images", "1", stored, stored, levels)
    x = data.encode(stored, torch.Generator().manual_seed(3))
    u = torch.rand(stored.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(x, 2 * (stored + u) / levels - 1)
    torch.testing.assert_close(data.encode(stored), 2 * (stored + 0.5) / levels - 1)
    assert torch.equal(data.decode(x), data.pixels(stored)) and data.decode(x).dtype == torch.uint8
    some = torch.tensor([0, 8, levels - 1], dtype=torch.uint8)
    assert data.pixels(some).tolist() == ([0, 8, 255] if levels == 256 else [0, 128, 255])


def test_a_space_of_its_own_decides_the_shape_of_a_model() -> None:
    data = checked("latent", Dataset("latent", "1", PIXELS, PIXELS[:3], 256, space=Halves()))
    assert data.shape == (2,) and data.stored_shape == (1, 4, 4) and data.dim == 2
    assert not data.keeps_density and data.is_image and not data.is_plane
    assert about(data).shape == (2,)
    net = build_network(Component(name="mlp", options={"width": 4, "depth": 1}), data)
    assert net(torch.rand(5), torch.randn(5, 2)).shape == (5, 2)
    turned = checked("turned", Dataset("turned", "1", POINTS, POINTS, space=Rotated()))
    assert turned.keeps_density
    torch.testing.assert_close(turned.decode(turned.encode(POINTS)), POINTS)


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        ({}, "space is a Broken without encode, decode and keeps_density"),
        (
            {"keeps_density": True, "encode": print, "decode": print, "log_volume": float("-inf")},
            r"space: log_volume = -inf, not a finite number",
        ),
        (
            {"keeps_density": True, "encode": lambda s, k, r=None: k, "decode": lambda s, x: x},
            r"encode of uint8 .* is uint8",
        ),
        (
            {"keeps_density": True, "encode": lambda s, k, r=None: k.float().sum(), "decode": lambda s, x: x},
            r"is float32 \(\), not float32 \(3, \.\.\.\)",
        ),
        (
            {"keeps_density": True, "encode": lambda s, k, r=None: k.float().flatten(1), "decode": lambda s, x: x},
            r"decode of float32 \(3, 16\) is float32 \(3, 16\), not uint8 \(3, 1, 4, 4\)",
        ),
        (
            {"keeps_density": True, "encode": lambda s, k, r=None: 1 / 0, "decode": lambda s, x: x},
            "encode and decode: ZeroDivisionError",
        ),
    ],
)
def test_a_space_that_breaks_its_contract_is_named(space: dict[str, Any], rule: str) -> None:
    dataset = Dataset("mine", "1", PIXELS, PIXELS[:3], 256, space=type("Broken", (), space)())
    with pytest.raises(UsageError, match=f"^dataset mine: .*{rule}"):
        checked("mine", dataset)
