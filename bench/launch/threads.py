"""The threads of a run on the CPU: its last digits hang on them, so they are chosen once and kept.

A sum over threads is added up in another order than over one. A run begins with the threads that its launcher gives it
and goes on with the same, on whatever machine and beside however many others; the record's device tells their number.

OpenMP's threads meet after every operation, and by default each waits there in a loop that keeps its core busy. Beside
another program on the same cores that loop takes the time that the other thread needs. Steps a second of a 3 x 64 MLP,
batch 512, on two cores: by one thread 296, by two 346; beside two busy processes 281 and 4.5. With
OMP_WAIT_POLICY=PASSIVE a thread that waits sleeps: two threads 249, beside the two processes 248; at width 512 and in
convolutions it costs at most 4%. The digits are the same. The policy counts if it is set before OpenMP is loaded.
"""

import os
from contextlib import suppress
from pathlib import Path

from bench.records.files import write_text

FILE = "threads"
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WAITING = ("OMP_WAIT_POLICY", "PASSIVE")


def variables(count: int) -> dict[str, str]:
    """Environment variables of a process of so many threads that sleep while they wait, unless a policy is set."""
    return dict.fromkeys(VARIABLES, str(count)) | {WAITING[0]: os.environ.get(*WAITING)}


def kept(folder: Path, count: int) -> int:
    """The threads that the run of this folder was begun with; if it begins now, `count`, which is kept."""
    path = folder / FILE
    with suppress(OSError, ValueError):
        begun = int(path.read_text(encoding="ascii"))
        if begun > 0:
            return begun
    write_text(path, f"{count}\n")
    return count


def use(count: int) -> None:
    """Compute with so many threads from here on, in libraries that are loaded and in those that will be."""
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update(variables(count))
    threadpool_limits(count)
    torch.set_num_threads(count)
