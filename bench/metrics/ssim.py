"""The structural similarity of images to the ones that they should be, pair by pair (scikit-image).

    SSIM = mean over pixels and channels of
           (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2))        Wang et al. 2004

with means m, variances s^2 and covariance s_xy under a Gaussian window of deviation 1.5 pixels, 11 pixels wide,
c_1 = (0.01 * 255)^2, c_2 = (0.03 * 255)^2, over the pixels whose window lies in the image.
"""

from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.metrics.metric import Facts, register_metric
from bench.metrics.psnr import PEAK, check

if TYPE_CHECKING:
    from torch import Tensor

SIGMA, WINDOW = 1.5, 11
SETTINGS = {"channels": "all", "data_range": PEAK, "window": "gaussian", "window_size": WINDOW, "sigma": SIGMA}


FACTS = Facts("SSIM", "", "higher", meaning="Structural similarity to the reference image.", place=38)


@register_metric(
    "ssim", facts={"ssim": FACTS}, needs="pairs", data="images", in_sweep=True, settings=lambda *_: SETTINGS
)
def ssim(images: "Tensor", targets: "Tensor", *_: Any) -> "Tensor":
    """SSIM of each image, (B,) float64, as `psnr` has them; NotApplicable if they are smaller than the window."""
    import torch
    from skimage.metrics import structural_similarity

    check(images, targets)
    if min(images.shape[2:]) < WINDOW:
        raise NotApplicable(f"images of {images.shape[2]} x {images.shape[3]} pixels; SSIM's window is {WINDOW} wide")
    options = {"channel_axis": 0, "data_range": PEAK, "gaussian_weights": True, "use_sample_covariance": False}
    pairs = zip(images.cpu().numpy(), targets.cpu().numpy(), strict=True)
    return torch.tensor([structural_similarity(x, y, sigma=SIGMA, **options) for x, y in pairs], dtype=torch.float64)
