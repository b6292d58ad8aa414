"""Floating-point precision: what training asks for, and full float32 for whatever is measured.

A GPU may multiply float32 matrices as TF32, which keeps 10 of 23 bits: an adaptive solver at tolerance 1e-5 would take
that noise for its own error and pay for it in evaluations. So TF32 is never used where something is measured, and in
training only with `precision` "tf32", or "bf16" for what autocast leaves in float32.

A CPU with instructions for bf16 (AVX512-BF16, AMX) multiplies by them, too: on two cores a 5x512 MLP takes 1.7 and a
U-Net 1.2 times the steps a second, and a 4x64 MLP 0.8 times, as it is a matter of operators.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_float32(device: str) -> Iterator[None]:
    """float32 with all its bits, whatever is set around."""
    with _products(device, exact=True, benchmark=False), torch.autocast(torch.device(device).type, enabled=False):
        yield


@contextmanager
def in_training(precision: str, device: str) -> Iterator[None]:
    """float32 products as `precision` has them: exact for "fp32", TF32 for "tf32" and "bf16"."""
    cuda = torch.device(device).type == "cuda"
    with _products(device, exact=precision == "fp32" or not cuda, benchmark=True):
        yield


def slowed(precision: str, device: str) -> str:
    """Why a precision costs time on this device instead of saving it, "" if nothing says so."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", None)
    if precision != "bf16" or torch.device(device).type != "cpu" or capabilities is None:
        return ""
    if any(value is True for name, value in capabilities().items() if "bf16" in name):
        return ""
    return (
        'training.precision = "bf16": this CPU has no instructions for bf16, so that a step takes longer than in fp32'
    )


@contextmanager
def _products(device: str, exact: bool, benchmark: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if exact else "high")
    try:
        # The same shapes come again in training, so the fastest kernels are worth a search.
        with torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, allow_tf32=not exact):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
