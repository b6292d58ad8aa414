"""Evaluation in as many rows at once as there is room for: the same numbers, whatever the memory."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from oracles import GaussianMixture, field
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from bench.datasets.base import Dataset
from bench.evaluation.trained import Trained
from bench.methods.density import log_density
from bench.methods.memory import Memory
from bench.methods.ode import Solver, VelocityField
from bench.methods.paths import OptimalTransport
from bench.samplers.ode import sampler_of


class Device:
    """Takes `room` rows at once, and keeps the sizes that it was asked for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def hold(self, rows: int) -> None:
        self.sizes.append(rows)
        if rows > self.room:
            raise torch.OutOfMemoryError(f"{rows} rows, and there is room for {self.room}")

    def double(self, x: Tensor) -> Callable[[slice], Tensor]:
        def evaluate(rows: slice) -> Tensor:
            self.hold(len(x[rows]))
            return 2 * x[rows]

        return evaluate


@pytest.mark.parametrize("n", [1, 2, 7, 64, 100])
@pytest.mark.parametrize("room", [1, 2, 3, 50, 1000])
def test_rows_are_cut_to_the_room_there_is(n: int, room: int) -> None:
    device, memory, x = Device(room), Memory(), torch.randn(n, 3)
    assert torch.equal(memory.rowwise(device.double(x), n), 2 * x)
    if n <= room:
        assert device.sizes == [n] and memory.rows is None
        return
    assert memory.rows is not None and room / 2 < memory.rows <= room
    done = [size for size in device.sizes if size <= room]
    assert sum(done) == n and max(done) == memory.rows


def test_the_room_is_remembered() -> None:
    device, memory, x = Device(10), Memory(), torch.randn(64, 3)
    memory.rowwise(device.double(x), 64)
    assert memory.rows == 8 and device.sizes[:4] == [64, 32, 16, 8]
    for n, sizes in ((64, [8] * 8), (20, [8, 8, 4]), (5, [5])):
        device.sizes.clear()
        memory.rowwise(device.double(x[:n]), n)
        assert device.sizes == sizes
    device.room = 3  # somebody else takes a share
    device.sizes.clear()
    assert torch.equal(memory.rowwise(device.double(x[:9]), 9), 2 * x[:9])
    assert device.sizes == [8, 4, 2, 2, 2, 2, 1] and memory.rows == 2


def test_no_room_for_a_single_row_is_an_error() -> None:
    device = Device(0)
    with pytest.raises(torch.OutOfMemoryError, match="1 rows, and there is room for 0"):
        Memory().rowwise(device.double(torch.randn(6, 3)), 6)
    assert device.sizes == [6, 3, 2, 1]


def test_another_error_is_not_tried_again() -> None:
    calls: list[slice] = []

    def evaluate(rows: slice) -> Tensor:
        calls.append(rows)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Memory().rowwise(evaluate, 6)
    assert calls == [slice(0, 6)]


class Crowded(nn.Module):
    """net(t, x) = t x, channels that are given left out, on a device of little room."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        self.device.hold(len(x))
        return t[:, None, None, None] * x[:, :1] + (x[:, 1:] if x.shape[1] > 1 else 0)


@pytest.mark.parametrize("given", [False, True])
def test_samples_are_drawn_in_the_memory_there_is(images: Dataset, given: bool) -> None:
    dataset = dataclasses.replace(images, given=(lambda k: k.float() / 256) if given else None)
    solver = Solver("dormand_prince", 1e-4, 1e-4)

    def drawn(device: Device) -> tuple[Tensor, float]:
        with torch.no_grad():
            return Trained(FlowMatchingOT(), Crowded(device), dataset, 0, "cpu").draw(sampler_of(solver), 2, 12)

    wide, narrow = Device(10), Device(4)
    (expected, nfe), (x, count) = drawn(wide), drawn(narrow)
    torch.testing.assert_close(x, expected)
    assert count == nfe == len(wide.sizes) and set(wide.sizes) == {10}
    assert narrow.sizes[:3] == [10, 5, 3]
    assert narrow.sizes[2:] == [3, 3, 3, 1] * int(nfe)


def test_training_is_never_cut(images: Dataset) -> None:
    """Where a gradient is wanted the whole graph must be kept: the rows are the caller's to cut."""
    device = Device(4)
    net = Trained(FlowMatchingOT(), Crowded(device), images, 0, "cpu").network(0, 10)
    with pytest.raises(torch.OutOfMemoryError):
        net(torch.ones(10), torch.ones(10, 1, 2, 3))
    assert device.sizes == [10]


@pytest.mark.parametrize("probes", [None, 2])
def test_densities_are_measured_in_the_memory_there_is(
    points: Dataset, rng: torch.Generator, probes: int | None
) -> None:
    exact = field(GaussianMixture.pair(), OptimalTransport())
    x = points.test[:20]
    z = None if probes is None else torch.randn(probes, 20, 2, generator=rng).sign()

    def crowded(device: Device) -> VelocityField:
        def f(t: Tensor, x: Tensor) -> Tensor:
            device.hold(len(x))
            return exact(t, x)

        return f

    wide, narrow = Device(20), Device(7)
    solver = Solver("dormand_prince", 1e-4, 1e-4)
    expected, found = (log_density(crowded(device), x, 1.0, solver, z) for device in (wide, narrow))
    torch.testing.assert_close(found.log_p, expected.log_p)
    torch.testing.assert_close(found.variance, expected.variance)
    assert len(narrow.sizes) == 2 + 4 * len(wide.sizes)
    assert narrow.sizes[:3] == [20, 10, 5] and set(narrow.sizes[2:]) == {5}
