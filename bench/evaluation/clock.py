"""Seconds and bytes: a device-synchronised stopwatch, peak memory of a stretch of work, and when to speak of it.

On CUDA the peak is torch's; on the CPU it is the resident set of the process (Linux's VmHWM, reset at the start).
"""

import time
from contextlib import suppress
from pathlib import Path

import torch


def now(device: str) -> float:
    """Seconds on a monotonic clock, once all work queued on the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


class Pace:
    """When to speak of work that goes on: every second at first, then every hundredth of its time, up to a minute."""

    FIRST, SHARE, LONGEST = 1.0, 0.01, 60.0

    def __init__(self) -> None:
        self._begun = self._spoken = time.monotonic()

    def due(self) -> bool:
        """Whether it is time again; the next time is counted from now if it is."""
        now = time.monotonic()
        gap = min(max(self.FIRST, self.SHARE * (now - self._begun)), self.LONGEST)
        if now - self._spoken < gap:
            return False
        self._spoken = now
        return True


def reset_peak_memory(device: str) -> None:
    """Begin a new stretch for `peak_memory`."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):  # not Linux, or not allowed: the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: str) -> int:
    """Bytes at the peak since `reset_peak_memory`."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
