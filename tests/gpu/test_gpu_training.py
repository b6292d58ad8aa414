"""Training on the device: where the data lives, precision, compilation, the clock, checkpoints and a signal."""

import copy
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.fm_ot import FlowMatchingOT
from bench.config.settings import Training
from bench.datasets.base import Dataset
from bench.evaluation.clock import now, peak_memory, reset_peak_memory
from bench.methods.flow import FlowBaseline, mean_square
from bench.methods.paths import OptimalTransport
from bench.networks.adm import adm
from bench.networks.mlp import mlp
from bench.records.records import Measurement
from bench.training import checkpoint, minibatches
from bench.training.minibatches import Minibatches
from bench.training.precision import full_float32, in_training
from bench.training.trainer import Trainer

SMALL = {"channels": 32, "multiples": [1, 2], "blocks": 1, "attention": [4], "head_channels": 16}


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    """512 + 16 images of 3 x 8 x 8 pixels."""
    draw = torch.Generator().manual_seed(3)
    train, test = (torch.randint(0, 256, (n, 3, 8, 8), generator=draw, dtype=torch.uint8) for n in (512, 16))
    return Dataset("pictures", "1", train, test, levels=256)


class Fixed(FlowBaseline):
    """fm_ot with times and noise that depend on the data alone: the generators of two devices draw other numbers."""

    path = OptimalTransport()

    def loss(self, net: Any, x1: Tensor, rng: torch.Generator) -> Tensor:
        x0 = (1e4 * x1.flatten(1)).sin().view_as(x1)
        t = x0.flatten(1)[:, 0].abs()
        return mean_square(net(t, self.path.sample(t, x0, x1)) - self.path.target(t, x0, x1))


def trainer(dataset: Dataset, device: str, baseline: FlowBaseline | None = None, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    if dataset.is_image:
        module = adm(dataset.shape, **SMALL)
        for p in module.parameters():  # its last layers begin at zero, which hides everything before them
            p.data.add_(0.02 * torch.randn_like(p))
    else:
        module = mlp(dataset.shape, width=32, depth=2)
    asked = Training(**{"steps": 20, "batch": 32, "lr": 1e-3, **settings})
    return Trainer("the-run", asked, baseline or Fixed(), module.to(device), dataset, seed=0)


def nothing(module: nn.Module) -> list[Measurement]:
    return []


def silent(text: str) -> None:
    pass


# Data.


def test_a_small_set_lives_on_the_gpu_and_gives_the_cpus_minibatches(pictures: Dataset, cuda: str) -> None:
    settings = Training(steps=1, batch=32, micro_batch=8, flip=True)
    here, there = (Minibatches(pictures, settings, 0, device) for device in ("cpu", cuda))
    assert there.resident and there.data.is_cuda
    for step in range(3):
        for piece in range(4):
            assert torch.equal(here.take(step, piece).values, there.take(step, piece).values.cpu())


def test_a_large_set_is_streamed_and_gives_the_cpus_minibatches(
    pictures: Dataset, cuda: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minibatches, "SHARE", 0.0)
    settings = Training(steps=1, batch=64, micro_batch=32, flip=True)
    here, there = (Minibatches(pictures, settings, 0, device) for device in ("cpu", cuda))
    assert here.resident and not there.resident and not there.data.is_cuda
    assert there._read(0, 0).is_pinned()
    busy = torch.randn(2048, 2048, device=cuda)
    taken = []
    for step in range(40):
        for piece in range(2):
            busy = busy @ busy / 2048  # the copies queue behind it, and must not be overwritten meanwhile
            taken.append(there.take(step, piece).values)
    for i, values in enumerate(taken):
        assert torch.equal(here.take(i // 2, i % 2).values, values.cpu())


# Arithmetic.


def test_steps_are_the_cpus(pictures: Dataset, points: Dataset, device: str) -> None:
    for dataset in (pictures, points):
        here, there = (trainer(dataset, d, clip=1.0, ema=0.9) for d in ("cpu", device))
        with in_training("fp32", device):
            for _ in range(5):
                # The two dequantise otherwise: the data is given to both without noise.
                for side in (here, there):
                    side.dataset = _without_noise(dataset)
                a, b = here.take_step(), there.take_step()
                assert float(a) == pytest.approx(float(b), rel=1e-4)
        for p, q in zip(here.average.tensors, there.average.tensors, strict=True):
            torch.testing.assert_close(p, q.cpu(), rtol=1e-3, atol=1e-4)


def _without_noise(dataset: Dataset) -> Dataset:
    bare = copy.copy(dataset)
    object.__setattr__(bare, "encode", lambda x, rng=None: dataset.encode(x))
    return bare


def test_bf16_is_autocast_and_keeps_float32_weights(pictures: Dataset, device: str) -> None:
    seen: set[torch.dtype] = set()
    losses = []
    for precision in ("fp32", "bf16"):
        this = trainer(pictures, device, precision=precision, steps=3)
        this.dataset = _without_noise(pictures)
        convolution = next(m for m in this.module.modules() if isinstance(m, nn.Conv2d))
        convolution.register_forward_hook(lambda _m, _i, y: seen.add(y.dtype))
        with in_training(precision, device):
            losses.append([float(this.take_step()) for _ in range(3)])
        assert {p.dtype for p in (*this.parameters, *this.average.tensors)} == {torch.float32}
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in this.parameters)
    assert seen == {torch.float32, torch.bfloat16}
    assert losses[0] == pytest.approx(losses[1], rel=0.05) and losses[0] != losses[1]


def test_tf32_is_used_where_it_is_asked_for_and_never_where_something_is_measured(cuda: str) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, 512, generator=draw).to(cuda)
    image, kernel = (
        torch.randn(4, 64, 32, 32, generator=draw).to(cuda),
        torch.randn(64, 64, 3, 3, generator=draw).to(cuda),
    )

    def errors() -> tuple[float, float]:
        product, exact = a @ b, a.double() @ b.double()
        convolved = nn.functional.conv2d(image, kernel)
        reference = nn.functional.conv2d(image.double(), kernel.double())
        return float((product - exact).norm() / exact.norm()), float((convolved - reference).norm() / reference.norm())

    with in_training("tf32", cuda):
        coarse = errors()
        with full_float32(cuda):  # a validation in the midst of training
            fine = errors()
        again = errors()
    with in_training("fp32", cuda):
        plain = errors()
    assert coarse[0] > 1e-4 and again[0] > 1e-4  # of convolutions the fastest kernel may be an exact one
    assert max(fine) < 1e-5 and max(plain) < 1e-5
    with torch.autocast("cuda", torch.bfloat16), full_float32(cuda):
        assert (a @ b).dtype == torch.float32


def test_a_compiled_network_trains_as_an_eager_one(pictures: Dataset, cuda: str) -> None:
    losses, rows = [], []
    for compiled in (False, True):
        this = trainer(pictures, cuda, compile=compiled, channels_last=True, steps=4)
        this.dataset = _without_noise(pictures)
        with in_training("fp32", cuda):
            if compiled:
                this._compile()
            losses.append([float(this.take_step()) for _ in range(4)])
        rows.append(this.net.rows)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert rows == [4 * 32] * 2


def test_channels_last_and_checkpointing_change_no_gradient(pictures: Dataset, device: str) -> None:
    torch.manual_seed(0)
    module = adm(pictures.shape, **SMALL).to(device)
    for p in module.parameters():
        p.data.add_(0.02 * torch.randn_like(p))
    x = torch.randn(4, 3, 8, 8, device=device)
    t = torch.rand(4, device=device)
    gradients = []
    for last, again in ((False, False), (True, False), (False, True)):
        this = copy.deepcopy(module)
        this = this.to(memory_format=torch.channels_last) if last else this
        this.checkpointing = again
        with full_float32(device):
            this(t, x).square().mean().backward()
        gradients.append([p.grad for p in this.parameters()])
    for other in gradients[1:]:
        for g, h in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(g, h, rtol=1e-3, atol=1e-5)


# Clock and memory.


def test_the_clock_waits_for_the_device(cuda: str) -> None:
    a = torch.randn(4096, 4096, device=cuda)
    a @ a
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start = now(cuda)
    begun.record()
    for _ in range(100):
        a = a @ a / 4096
    ended.record()
    queued = time.perf_counter() - start
    seconds = now(cuda) - start
    assert seconds >= begun.elapsed_time(ended) / 1000 > queued
    assert seconds < 1.5 * begun.elapsed_time(ended) / 1000 + 0.05


def test_peak_memory_is_of_the_stretch(cuda: str) -> None:
    torch.empty(256 << 20, dtype=torch.uint8, device=cuda)
    before = torch.cuda.memory_allocated()
    reset_peak_memory(cuda)
    torch.empty(64 << 20, dtype=torch.uint8, device=cuda)
    assert peak_memory(cuda) - before == 64 << 20


# Checkpoints.


def test_a_checkpoint_of_the_gpu_goes_on_on_the_cpu_and_back(points: Dataset, device: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    whole = trainer(points, "cpu", steps=30, ema=0.9)
    whole.fit(tmp_path / "whole.pt", nothing, silent)
    first = trainer(points, device, steps=30, ema=0.9)
    for _ in range(10):
        first.take_step()
    first.save(path)
    here = trainer(points, "cpu", steps=30, ema=0.9)
    assert here.restore(path, silent) and here.step == 10
    for p, q in zip(
        (*here.parameters, *here.average.tensors), (*first.parameters, *first.average.tensors), strict=True
    ):
        assert p.device.type == "cpu" and torch.equal(p, q.cpu())
    for _ in range(10):
        here.take_step()
    here.save(path)
    back = trainer(points, device, steps=30, ema=0.9)
    assert back.restore(path, silent) and back.step == 20
    assert {p.device.type for p in (*back.parameters, *back.average.tensors)} == {torch.device(device).type}
    for entry in back.optimizers[0].state.values():
        assert entry["exp_avg"].device.type == torch.device(device).type
    back.fit(path, nothing, silent)
    for p, q in zip(whole.average.tensors, back.average.tensors, strict=True):
        torch.testing.assert_close(p, q.cpu(), rtol=1e-3, atol=1e-4)
    assert checkpoint.state(back)["step"] == 30


def test_a_signal_saves_at_the_end_of_the_step(points: Dataset, device: str, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def handler(number: int, frame: FrameType | None) -> None:
        raise Stopped

    path = tmp_path / "checkpoint.pt"
    this = trainer(points, device, FlowMatchingOT(), steps=30)
    take = this.take_step

    def take_step() -> Tensor:
        if this.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return take()

    this.take_step = take_step  # type: ignore[method-assign]
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Stopped):
            this.fit(path, nothing, silent)
    finally:
        signal.signal(signal.SIGTERM, before)
    again = trainer(points, device, FlowMatchingOT(), steps=30)
    assert again.restore(path, silent) and again.step == 8
    for p, q in zip(this.parameters, again.parameters, strict=True):
        assert torch.equal(p, q)
    again.fit(path, nothing, silent)
    assert again.step == 30 and again.loss == pytest.approx(again.loss)
