"""A small classifier whose penultimate layer measures image quality where Inception has nothing to say.

Inception was trained on photographs of 299 pixels; an 8x8 digit is outside its world, and its 2048 features
leave the covariance of a small dataset singular. Here three convolutions and a 64-wide layer learn the labels
of the dataset's own train split, and the Frechet distance is taken between the 64 activations before the last
layer. They are smooth (SiLU), so no unit is dead and the covariance has full rank from a few hundred images
on, and each is standardised on the train split: the trace of the covariance is 64, whatever the dataset.

Training is one code path with a fixed seed on one CPU thread: the weights of a machine are the same bit for
bit, whatever the number of threads or the device of the run around it.
"""

import logging

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from bench.datasets.base import Dataset
from bench.errors import UsageError

VERSION = 1  # of the architecture and of the training below: a change of either is a new extractor
FEATURES = 64
STEPS, BATCH, RATE = 600, 128, 4e-3

log = logging.getLogger(__name__)


class Classifier(nn.Module):
    """uint8 pixels (B, C, H, W) -> logits (B, classes); `features` gives the (B, 64) layer below them."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor([channels, height, width, classes]))
        self.register_buffer("accuracy", torch.tensor(float("nan")))
        self.accuracy: Tensor
        # The least eps there is: it changes no variance but 0, and torch 2.11 refuses 0.
        self.standardise = nn.BatchNorm1d(FEATURES, affine=False, eps=torch.finfo(torch.float32).tiny)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(64 * -(-height // 4) * -(-width // 4), FEATURES),
            nn.SiLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def features(self, pixels: Tensor) -> Tensor:
        return self.standardise(self.hidden(pixels))

    def hidden(self, pixels: Tensor) -> Tensor:
        return self.body(pixels.float() / 127.5 - 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.hidden(pixels))


class ClassifierFeatures(FeatureExtractorBase):
    """The classifier in a weight file, as an extractor of torch-fidelity with the one layer "penultimate"."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object):
        super().__init__(name, features_list)
        weights = torch.load(feature_extractor_weights_path, weights_only=True)
        self.net = Classifier(*weights["size"].tolist())
        self.net.load_state_dict(weights)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("penultimate",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "penultimate"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (self.net.features(pixels),)


def train(dataset: Dataset) -> Classifier:
    """The classifier of a dataset, the same bits on the same machine; UsageError if the dataset has no labels."""
    if dataset.train_labels is None or dataset.test_labels is None:
        raise UsageError(f"extractor '{dataset.name}_cnn' needs labels; dataset {dataset.name!r} has none")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(0)
            net = _fit(dataset, dataset.train_labels.long(), dataset.test_labels.long())
    finally:
        torch.set_num_threads(threads)
    log.info("%s_cnn: test accuracy %.4f", dataset.name, net.accuracy)
    return net


def _fit(dataset: Dataset, train_labels: Tensor, test_labels: Tensor) -> Classifier:
    channels, height, width = dataset.stored_shape
    net = Classifier(channels, height, width, int(train_labels.max()) + 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        index = torch.randint(len(dataset.train), (BATCH,))
        logits = net(dataset.pixels(dataset.train[index]))
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, train_labels[index]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        hidden = torch.cat([net.hidden(dataset.pixels(part)) for part in dataset.train.split(1000)])
        net.standardise.register_buffer("running_mean", hidden.mean(0))
        net.standardise.register_buffer("running_var", hidden.var(0))
        guesses = torch.cat([net(dataset.pixels(part)).argmax(1) for part in dataset.test.split(1000)])
    net.accuracy.fill_((guesses == test_labels).float().mean())
    return net.eval()
