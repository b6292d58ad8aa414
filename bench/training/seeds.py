"""Random numbers that belong to a sample, not to a batch.

Draw i of a stream depends on (seed, stream, i) alone: sample i is the same for any batch size and number of devices,
and every baseline is evaluated with the same noise. The seed of a run's streams is that of its seed and its dataset.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from bench.config.settings import Component

# First words of all streams but those of samplers, whose streams have their own names ("ddim-50").
STREAMS = (
    *(
        "samples",
        "labels",
        "encode",
        "dequantise",
        "probe",
        "bound",
        "metric",
        "repeat",
        "floor",
        "source",
        "observation",
        "dataset",
    ),
    *("minibatch", "epoch", "tell", "training", "rehearsal", "validation", "validation split", "estimate"),
)

KEPT = 2**20  # numbers of noise that are kept to be asked for again


def is_taken(sampler: str) -> bool:
    """Whether a sampler of that name would draw the very numbers of something else."""
    return sampler.partition("-")[0] in STREAMS


def number(seed: int, stream: str, index: int = 0) -> int:
    """The seed of one draw, 0 to 2^63 - 1."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def on_dataset(seed: int, dataset: Component) -> int:
    """The seed of all that a run of that seed draws on a dataset: initial weights, minibatches, noise, probes, subsets.

    Runs of one seed share it on one dataset, where their methods are compared in pairs, and on no other, so that what
    is averaged over datasets is independent. A dataset with another option is another one.

    Points of seed = "run" are no such draw: the seed itself draws them, by equal random numbers on every dataset.
    """
    return number(seed, f"dataset-{json.dumps(dataset.model_dump(mode='json'), sort_keys=True)}")


def generator(seed: int, stream: str, index: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator of one draw; other devices than the CPU have numbers of their own."""
    return torch.Generator(device).manual_seed(number(seed, stream, index))


def per_sample(
    draw: Callable[[torch.Generator], Tensor], seed: int, stream: str, start: int, stop: int, device: str = "cpu"
) -> Tensor:
    """Draws start ... stop - 1 of a stream, stacked in front."""
    rng = torch.Generator()
    return torch.stack([draw(rng.manual_seed(number(seed, stream, i))) for i in range(start, stop)]).to(device)


def normal(shape: Sequence[int], seed: int, stream: str, start: int, stop: int, device: str = "cpu") -> Tensor:
    """x0 ~ N(0, I), (stop - start, *shape); every sampler of a run, and of the next, asks for the same few."""
    few = (stop - start) * prod(shape) <= KEPT
    draw = _normal if few else _normal.__wrapped__
    return draw(tuple(shape), torch.get_default_dtype(), seed, stream, start, stop).to(device, copy=few)


@lru_cache(maxsize=8)
def _normal(shape: tuple[int, ...], dtype: torch.dtype, seed: int, stream: str, start: int, stop: int) -> Tensor:
    x, rng = torch.empty(stop - start, *shape, dtype=dtype), torch.Generator()
    for i, one in enumerate(x.unbind(), start):
        one.normal_(generator=rng.manual_seed(number(seed, stream, i)))
    return x
