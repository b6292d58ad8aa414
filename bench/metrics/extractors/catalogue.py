"""Names of feature extractors -> what torch-fidelity needs to run them, and the extractor as it is loaded.

inception       the FID Inception-v3; only with it is a Frechet distance called FID, an MMD called KID
<dataset>_cnn   a small classifier trained on that dataset's own train split (digits_cnn, mnist_cnn, ...)
any other name  an extractor registered with torch-fidelity: by the module of its name in this folder (dinov2), by a
                plugin, or by itself (vgg16, ...). It is made with `feature_extractor_weights_path`, the file that the
                suite names as its `weights`.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import torch
from torch import Tensor

from bench.config.names import safe_name
from bench.config.registry import unknown
from bench.datasets.base import Dataset, digest_of
from bench.errors import UsageError, usage_error
from bench.identity.inputs import sha256
from bench.metrics.extractors.cache import code_of, kept, write_tensors
from bench.training.precision import full_float32


@dataclass(frozen=True)
class Extractor:
    """A feature extractor under the name it is registered with torch-fidelity."""

    name: str
    version: str  # of the architecture and the weights; part of the name of everything cached
    layer: str  # the features that are compared
    weights: Path | None = None  # its file, unless torch-fidelity finds its own
    channels: int | None = 3  # to which greyscale images are repeated
    logits: str | None = None  # the layer that the Inception Score is taken from, if the weights have a classifier

    @property
    def layers(self) -> list[str]:
        return [self.layer, self.logits] if self.logits else [self.layer]


class Loaded:
    """An extractor for images of one shape: uint8 (B, C, H, W) -> features (B, D), logits (B, K) or (B, 0), float32."""

    def __init__(self, extractor: Extractor, shape: tuple[int, ...], device: str) -> None:
        self.extractor, self.shape, self.device = extractor, shape, device

    @cached_property
    def net(self) -> Any:
        from torch_fidelity.utils import create_feature_extractor

        path = self.extractor.weights and str(self.extractor.weights)
        options = {"cuda": False, "feature_extractor_weights_path": path, "verbose": False}
        with usage_error(f"extractor {self.extractor.name!r}: cannot be made of {path or 'its own weights'}"):
            return create_feature_extractor(self.extractor.name, self.extractor.layers, **options).to(self.device)

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if pixels.dtype != torch.uint8:
            raise UsageError(f"images are {pixels.dtype}; they must be uint8 pixels (see Dataset.decode)")
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != self.shape:
            raise UsageError(f"images have shape {tuple(pixels.shape)}; the extractor needs (N, *{self.shape})")
        if self.extractor.channels:
            pixels = pixels.expand(-1, self.extractor.channels, -1, -1)
        with full_float32(self.device):
            found = self.net.convert_features_tuple_to_dict(self.net(pixels.to(self.device)))
        features = found[self.extractor.layer].float()
        return features, found[self.extractor.logits] if self.extractor.logits else features[:, :0]


def check(name: str, dataset: Dataset, weights: str | None = None) -> None:
    """UsageError if an extractor is unknown or another dataset's, or if its file is not there or not wanted."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known

    own, where = f"{dataset.name}_cnn", f"extractor {name!r}"
    if name == "inception" or name.endswith("_cnn"):
        if weights:
            raise UsageError(f"{where}: weights = {weights!r}: it has its own, and takes no file")
        if name not in ("inception", own):
            message = f"{dataset.name} is measured with {own!r} or 'inception'"
            raise UsageError(f"{where} knows its own dataset only; {message}")
        return
    if name not in known:
        for module in iter_modules([str(Path(__file__).parent)]):
            import_module(f"{__package__}.{module.name}")
    if name not in known:
        raise UsageError(unknown("extractor", name, ["inception", own, *known]))
    if weights and not Path(weights).is_file():
        raise UsageError(f"{where}: weights = {weights!r}: there is no such file")


def extractor_for(name: str, dataset: Dataset, data_dir: Path, weights: str | None = None) -> Extractor:
    """The extractor of that name, trained or converted if need be; `weights` is the file that the suite names.

    UsageError as `check` has it, and if labels or weights are missing or not what they should be.
    """
    check(name, dataset, weights)
    if name == "inception":
        return _inception(data_dir)
    return _classifier(name, dataset, data_dir) if name.endswith("_cnn") else _registered(name, dataset, weights)


def _inception(data_dir: Path) -> Extractor:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known
    from torch_fidelity.registry import register_feature_extractor

    from bench.metrics.extractors import inception

    if "inception" not in known:
        register_feature_extractor("inception", inception.Inception)
    path = inception.weights(data_dir, data_dir / "extractors")
    # Without its last layer there is no Inception Score.
    logits = inception.LOGITS if torch.load(path, weights_only=True)["fc.weight"].any() else None
    return Extractor("inception", inception.VERSION, "2048", path, logits=logits)


def _classifier(name: str, dataset: Dataset, data_dir: Path) -> Extractor:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known
    from torch_fidelity.registry import register_feature_extractor

    from bench.metrics.extractors import classifier

    if name not in known:
        register_feature_extractor(name, classifier.ClassifierFeatures)
    of = (name, classifier.VERSION, dataset.version, dataset.checksum, code_of(classifier.__name__))
    file = safe_name("-".join(map(str, of))) + ".pth"
    path = kept(data_dir / "extractors", file, lambda path: write_tensors(path, classifier.train(dataset).state_dict()))
    digest = digest_of(*torch.load(path, weights_only=True).values())[:8]
    return Extractor(name, f"{classifier.VERSION}-{digest}", "penultimate", path, None)


def _registered(name: str, dataset: Dataset, weights: str | None) -> Extractor:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known

    layer, score = (known[name].get_default_feature_layer_for_metric(metric) for metric in ("fid", "isc"))
    file, logits = Path(weights) if weights else None, None if score == layer else score
    return Extractor(name, _version(Extractor(name, "", layer, file), dataset), layer, file, logits=logits)


def _version(extractor: Extractor, dataset: Dataset) -> str:
    """What the extractor is: a digest of its module, and the first digits of the SHA-256 of its file.

    Without a file, torch-fidelity's version and a digest of its module and weights.
    """
    import torch_fidelity
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known

    if extractor.weights:
        return f"{code_of(known[extractor.name].__module__)}-{sha256(str(extractor.weights))[:16]}"
    net = Loaded(extractor, dataset.stored_shape, "cpu").net
    parts: list[str | Tensor] = [code_of(type(net).__module__)]
    for name, tensor in net.state_dict().items():
        parts += [name, tensor.cpu().contiguous().reshape(-1).view(torch.uint8)]
    values = (torch.tensor([*part.encode()], dtype=torch.uint8) if isinstance(part, str) else part for part in parts)
    return f"{torch_fidelity.__version__}-{digest_of(*values)[:8]}"
