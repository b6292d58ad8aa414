"""The device of `pytest -m gpu`: CUDA, or with GPU_REHEARSAL=1 the CPU, so that the tests themselves have been run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

REHEARSAL = os.environ.get("GPU_REHEARSAL") == "1"
HERE = "no CUDA here: tests/gpu/README.md says how to run these"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture
def device() -> str:
    """What is compared with the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    if REHEARSAL:
        return "cpu"
    pytest.skip(HERE)


@pytest.fixture
def cuda() -> str:
    """CUDA itself, for what the CPU has no counterpart of."""
    if torch.cuda.is_available():
        return "cuda"
    pytest.skip("rehearsal on the CPU" if REHEARSAL else HERE)


@pytest.fixture
def small_gpu(cuda: str) -> Iterator[int]:
    """A GPU whose process may have 256 MiB more than it has already; their number of bytes."""
    room = 256 << 20
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / total)
    yield room
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()
