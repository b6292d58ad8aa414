"""Names of feature extractors -> what torch-fidelity needs to run them.

inception       the FID Inception-v3; only with it is a Frechet distance called FID, an MMD called KID
<dataset>_cnn   a small classifier trained on that dataset's own train split (digits_cnn, mnist_cnn, ...)
any other name  an extractor registered with torch-fidelity: its own (vgg16, dinov2-vit-b-14, ...) or yours
"""

from dataclasses import dataclass
from pathlib import Path

from bench.datasets.base import Dataset
from bench.errors import UsageError
from bench.metrics.cache import file_name, once
from bench.registry import unknown


@dataclass(frozen=True)
class Extractor:
    """A feature extractor under the name it is registered with torch-fidelity.

    Attributes:
        name: as above.
        version: names the architecture and the weights; part of the name of everything cached.
        layer: the features that are compared.
        weights: its weight file, None where torch-fidelity finds its own.
        channels: 3 where greyscale images must be repeated to RGB, else None.
    """

    name: str
    version: str
    layer: str
    weights: Path | None = None
    channels: int | None = 3


def extractor_for(name: str, dataset: Dataset, data_dir: Path) -> Extractor:
    """The extractor of that name, ready to run on a dataset's images.

    Trains a classifier or converts Inception's weights where that was not done before. UsageError where the
    name is unknown, the classifier belongs to another dataset, labels are missing, or Inception's weights are
    not there.
    """
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as known
    from torch_fidelity.registry import register_feature_extractor

    folder = data_dir / "extractors"
    if name == "inception":
        from bench.metrics import inception

        if name not in known:
            register_feature_extractor(name, inception.Inception)
        return Extractor(name, inception.VERSION, "2048", inception.weights(data_dir, folder))
    if name.endswith("_cnn"):
        from bench.metrics import classifier

        if name != f"{dataset.name}_cnn":
            raise UsageError(
                f"extractor {name!r} knows its own dataset only; "
                f"{dataset.name} is measured with '{dataset.name}_cnn' or 'inception'"
            )
        if name not in known:
            register_feature_extractor(name, classifier.ClassifierFeatures)
        path = folder / (file_name(name, classifier.VERSION, dataset.version, dataset.checksum) + ".pth")
        once([path], lambda: classifier.save_trained(dataset, path))
        return Extractor(name, f"{classifier.VERSION}-{classifier.digest(path)}", "penultimate", path, None)
    if name not in known:
        raise UsageError(unknown("extractor", name, ["inception", f"{dataset.name}_cnn", *known]))
    import torch_fidelity

    return Extractor(name, torch_fidelity.__version__, known[name].get_default_feature_layer_for_metric("fid"))
