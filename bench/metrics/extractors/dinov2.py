"""DINOv2 (Oquab et al. 2023), the features in which Stein et al. 2023 compare generated images.

    pixels -> 224 x 224 -> (x / 255 - mean) / deviation -> ViT -> class token after the last norm, 384 to 1024 wide

The resize is Stein et al.'s: Pillow's bicubic one, antialiased where it makes images smaller; mean and deviation
are ImageNet's. The weights are a file of the authors, dinov2_vits14_pretrain.pth, ..._vitb14_... (Stein et
al. quote ..._vitl14_...), whose shapes say which of them it is. The network is timm's. Positions were learnt on a grid
of 37 x 37, and 16 x 16 of them are read as the authors' code reads them: bicubic without antialiasing, output i at

    (i + 1/2) 37 / 16.1 - 1/2

in which the 0.1, there against rounding, moves an embedding by up to 0.22 of a place.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_fidelity import FeatureExtractorBase, register_feature_extractor

from bench.errors import UsageError

NAME, LAYER = "dinov2", "x_norm_clstoken"  # the layer's name in the authors' code
SIDE, PATCH, HEAD = 224, 14, 64  # pixels, pixels, channels of an attention head in each of their networks
CPU_BATCH = 16  # images/s of a core by ViT-S: 7.0 at 16, 5.8 at 64
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILES = "dinov2_vits14_pretrain.pth, dinov2_vitb14_pretrain.pth or dinov2_vitl14_pretrain.pth"


class DINOv2(FeatureExtractorBase):
    """uint8 RGB images (B, 3, H, W) -> the class token (B, D), float32.

    UsageError if there is no file, or none of these weights in it, or no timm.
    """

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_: object
    ) -> None:
        super().__init__(name, features_list)
        if not feature_extractor_weights_path:
            raise UsageError(f"extractor {name!r}: needs weights = FILE, one of the authors' files: {FILES}")
        self.net = transformer(feature_extractor_weights_path).eval()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return (LAYER,)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        parts = [pixels] if pixels.is_cuda else pixels.split(CPU_BATCH)
        return (torch.cat([self.net((resized(part) / 255 - self.mean) / self.deviation) for part in parts]),)


def resized(pixels: Tensor) -> Tensor:
    """uint8 (B, C, H, W) -> float32 (B, C, 224, 224): whole levels after rows and columns, as Pillow's are."""
    x = pixels.float()
    for size in ((x.shape[2], SIDE), (SIDE, SIDE)):
        x = interpolate(x, size, mode="bicubic", antialias=True, align_corners=False).round().clamp(0, 255)
    return x


def transformer(path: str) -> nn.Module:
    """timm's network with the tensors of an authors' file; UsageError if they are others."""
    try:
        from timm.models.vision_transformer import VisionTransformer
    except ImportError as error:
        raise UsageError(f"extractor {NAME!r}: needs timm: pip install flow-matching-bench[dino]") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        positions, hidden = found["pos_embed"], len(found["blocks.0.mlp.fc1.weight"])
        width, depth = positions.shape[-1], 1 + max(int(name.split(".")[1]) for name in found if "blocks." in name)
        net = VisionTransformer(
            img_size=SIDE,
            patch_size=PATCH,
            embed_dim=width,
            depth=depth,
            num_heads=width // HEAD,
            mlp_ratio=hidden / width,
            init_values=1.0,
            num_classes=0,
            global_pool="token",
            weight_init="skip",
        )
        found.pop("mask_token", None)  # which hid patches in training
        net.load_state_dict(found | {"pos_embed": placed(positions)})
    except Exception as error:
        raise UsageError(f"extractor {NAME!r}: {path}: holds other weights than {FILES}") from error
    return net


def placed(positions: Tensor) -> Tensor:
    """Embeddings (1, 1 + G^2, D) of the class and a grid's places -> (1, 1 + 16^2, D), as the authors' code does."""
    side, grid = SIDE // PATCH, round((positions.shape[1] - 1) ** 0.5)
    if grid == side:
        return positions
    places = positions[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
    scale = (side + 0.1) / grid
    places = interpolate(places, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], places.permute(0, 2, 3, 1).flatten(1, 2)], 1)


register_feature_extractor(NAME, DINOv2)
