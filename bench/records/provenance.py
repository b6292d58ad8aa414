"""What code and what machine a number comes from."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "flow-matching-bench"
PACKAGES = ("torch", "torchdiffeq", "diffusers", "torch-fidelity", "POT", "pandas")


@functools.cache
def commit() -> str:
    """Commit of the project's checkout, with "+" where files differ from it; outside a checkout the installed version.

    A checkout that git cannot read, and code that is neither, are "unknown".
    """
    root = Path(__file__).parents[2]
    # Asking git alone would not do: an environment often lies inside the checkout of another project.
    if not (root / ".git").exists():
        return _installed(root)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=20
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD") + (
            "+" if git("status", "--porcelain", "--", ":/bench", ":/baselines", ":/run_all.py") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _installed(root: Path) -> str:
    """ "version 0.1.0" where the package in `root` came with the installed distribution."""
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
    ours = Path(str(distribution.locate_file(""))).resolve() == root.resolve()
    return f"version {distribution.version}" if ours else "unknown"


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    return {"python": platform.python_version(), **{p: metadata.version(p) for p in PACKAGES}}


def device_name(device: str) -> str:
    """ "cpu (AMD EPYC, 1 thread)" or "cuda (NVIDIA H200)"."""
    import torch

    if device.startswith("cuda"):
        return f"cuda ({torch.cuda.get_device_name()})"
    threads = torch.get_num_threads()
    return f"cpu ({_processor()}, {threads} thread{'s' if threads > 1 else ''} of {os.cpu_count()})"


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
