"""What the options of a network must fulfil, in one line of the same form for every network.

A network is registered with its check, `register_network(NAME, check=FUNCTION)`, which takes what the builder takes and
imports nothing heavy, so that a run that cannot be is refused before anything starts.
"""

from bench.errors import UsageError


def require(network: str, holds: bool, key: str, value: object, allowed: str) -> None:
    """UsageError for an option, or the shape of the data, that does not fit."""
    if not holds:
        raise UsageError(f"network {network}: {key} = {value!r}: {allowed}")


def require_images(network: str, shape: tuple[int, ...]) -> None:
    """UsageError unless the shape is (C, H, W)."""
    require(network, len(shape) == 3, "shape", shape, "images (C, H, W) are needed")


def require_halves(network: str, shape: tuple[int, ...], levels: int) -> None:
    """UsageError unless the sides of images (C, H, W) can be halved `levels - 1` times."""
    smallest = 2 ** (levels - 1)
    divided = all(side % smallest == 0 for side in shape[1:])
    require(network, divided, "shape", shape, f"sides divisible by {smallest} are needed for {levels} levels")
