"""The environment of every process that we start: workers, ranks, Slurm's commands and tasks.

It says what this project needs and nothing of another job: neither how this Python was started (its switches, warnings
as errors) nor the ranks or the allocation of a job that the command is called from.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of torchrun's, MPI's or Slurm's jobs; Slurm's commands take such variables for options.
FOREIGN = (
    *("TORCHELASTIC_", "PET_", "OMPI_", "PMI_", "PMIX_", "SUBMITIT_"),
    *("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SACCT_", "SCONTROL_"),
)
RANK = {"WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "GROUP_WORLD_SIZE"}
RANK |= {"ROLE_RANK", "ROLE_NAME", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
KEPT = ("SLURM_CONF", "SLURM_TMPDIR")  # where the cluster is described, and a node's own disk
# What changes how Python runs a program; the variables that only say where things are stay.
SWITCHES = ("OPTIMIZE", "WARNINGS", "SAFEPATH", "INSPECT", "STARTUP", "DEBUG", "VERBOSE", "DEVMODE", "TRACEMALLOC")


def environment() -> dict[str, str]:
    """The whole environment of a process that we start."""
    dropped = {*RANK, *(f"PYTHON{switch}" for switch in SWITCHES)}
    own = {k: v for k, v in os.environ.items() if k in KEPT or not (k in dropped or k.startswith(FOREIGN))}
    return own | interpreter()


def interpreter() -> dict[str, str]:
    """What an interpreter needs beside that, to find what this one finds and to read names as it does."""
    return {
        "PYTHONPATH": os.pathsep.join(_path()),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONUTF8": str(sys.flags.utf8_mode),
    } | ({"PYTHONNOUSERSITE": "1"} if sys.flags.no_user_site else {})


def _path() -> list[str]:
    """This package's folder first, then where this interpreter looks beside its own libraries."""
    # Without symbolic links followed: an interpreter of a virtual environment is a link to one elsewhere.
    own = tuple(str(Path(prefix).absolute()) + os.sep for prefix in (sys.prefix, sys.base_prefix))
    here = str(Path(__file__).resolve().parents[2])
    variable = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    found = [str(Path(entry).absolute()) for entry in [*variable.split(os.pathsep), *sys.path] if entry]
    return list(dict.fromkeys([here, *(entry for entry in found if not entry.startswith(own))]))


@contextmanager
def applied() -> Iterator[None]:
    """Within, this process has that environment too, for a library that starts processes itself."""
    before = dict(os.environ)
    _become(environment())
    try:
        yield
    finally:
        _become(before)


def _become(wanted: dict[str, str]) -> None:
    for variable in set(os.environ) - set(wanted):
        del os.environ[variable]
    os.environ.update(wanted)
