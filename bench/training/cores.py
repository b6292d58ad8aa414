"""The cores that a process may use."""

import os

SHARE = "BENCH_CORES"  # what a launcher tells a worker: its share of the machine's


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share() -> int:
    """Those of this process alone: it may be one of several workers."""
    return int(os.environ.get(SHARE) or cores())
