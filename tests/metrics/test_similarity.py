"""PSNR and SSIM against their definitions, written out in torch."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from bench.errors import NotApplicable, UsageError
from bench.metrics.psnr import psnr
from bench.metrics.ssim import ssim

DRAW = torch.Generator().manual_seed(0)
TARGETS = torch.randint(0, 256, (5, 3, 16, 20), generator=DRAW, dtype=torch.uint8)
NOISE = torch.tensor([0.0, 2, 10, 40, 200]).view(-1, 1, 1, 1) * torch.randn(TARGETS.shape, generator=DRAW)
IMAGES = (TARGETS + NOISE).clamp(0, 255).to(torch.uint8)


def wang(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of Wang et al. 2004: an 11 x 11 Gaussian window that lies wholly in the image."""
    line = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]

    def local(image: Tensor) -> Tensor:
        return conv2d(image.flatten(0, 1)[:, None], window).view(len(x), -1)

    x, y = x.double(), y.double()
    mx, my = local(x), local(y)
    sxx, syy, sxy = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sxx + syy + c2))).mean(1)


def test_psnr_is_its_definition() -> None:
    found = psnr(IMAGES, TARGETS)
    mse = (IMAGES.double() - TARGETS.double()).pow(2).flatten(1).mean(1)
    torch.testing.assert_close(found[1:], 10 * torch.log10(255**2 / mse[1:]))
    assert found.shape == (5,) and found.tolist() == sorted(found.tolist(), reverse=True)


def test_one_level_in_one_value_is_as_good_as_identical() -> None:
    """The largest PSNR of two different images is that of identical ones: 10 log10(255^2 d)."""
    close = TARGETS.clone()
    close[0, 0, 0, 0] ^= 1
    found = psnr(close, TARGETS)
    assert found.tolist() == pytest.approx([10 * math.log10(255**2 * 3 * 16 * 20)] * 5)


def test_ssim_is_wangs() -> None:
    found = ssim(IMAGES, TARGETS)
    torch.testing.assert_close(found, wang(IMAGES, TARGETS), rtol=0, atol=1e-7)
    assert found[0] == pytest.approx(1) and found.tolist() == sorted(found.tolist(), reverse=True)


def test_ssim_of_constant_images_is_the_luminance_term() -> None:
    dark, bright = torch.full((1, 1, 11, 11), 50, dtype=torch.uint8), torch.full((1, 1, 11, 11), 200, dtype=torch.uint8)
    c1 = (0.01 * 255) ** 2
    assert float(ssim(dark, bright)) == pytest.approx((2 * 50 * 200 + c1) / (50**2 + 200**2 + c1))


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (TARGETS.float(), TARGETS, "images are torch.float32 (5, 3, 16, 20)"),
        (TARGETS, TARGETS[0], "images are torch.uint8 (3, 16, 20)"),
        (TARGETS[:4], TARGETS, "images have shape (4, 3, 16, 20), the ones they should be (5, 3, 16, 20)"),
    ],
)
def test_bad_images_are_one_line(measure, images, targets, message) -> None:
    with pytest.raises(UsageError) as error:
        measure(images, targets)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_images_smaller_than_the_window_have_no_ssim() -> None:
    with pytest.raises(NotApplicable, match="images of 10 x 20 pixels; SSIM's window is 11 wide"):
        ssim(TARGETS[:, :, :10], TARGETS[:, :, :10])
