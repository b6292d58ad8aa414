"""What can be wrong with a call is found before any run starts."""

import argparse
from collections.abc import Sequence

from bench.command.options import ranks_of_a_run, slurm_options
from bench.config.registry import baselines, load_plugin
from bench.config.suite import Run
from bench.errors import UsageError
from bench.launch.queue import require


def check_options(options: argparse.Namespace) -> None:
    """UsageError for an option that no run could start with, whether or not one is to start."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: at least 1")
    if options.cluster == "slurm":
        slurm_options(options)
        return
    if options.nodes != 1:
        raise UsageError(f"--nodes {options.nodes}: for --cluster slurm; allowed here: 1")
    if options.gpus < 0:
        raise UsageError(f"--gpus {options.gpus}: 0 or more")
    slurm_only = {
        "partition": options.partition,
        "max-parallel": options.max_parallel,
        "sbatch": " ".join(options.sbatch) or None,
    }
    for key, value in slurm_only.items():
        if value is not None:
            raise UsageError(f"--{key} {value}: for --cluster slurm; leave it out with --cluster {options.cluster}")


def check(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """Refuse what cannot be run as it is asked for, and name the plugin's methods that no run is of.

    Raises:
        UsageError: the option or setting, its value and what is allowed.
    """
    if options.cluster == "slurm":
        require("sbatch")
    else:
        _check_gpus(options)
    for run_ in runs:
        t = run_.training
        if t.pieces % ranks_of_a_run(options):
            raise UsageError(
                f"--gpus {options.gpus}: {ranks_of_a_run(options)} ranks cannot share the {t.pieces} micro-batches of "
                f"training.batch = {t.batch} evenly ({run_.run_id}); set training.micro_batch"
            )
    plugins = {load_plugin(plugin).__name__ for plugin in options.plugin}
    from bench.config.components import validate

    validate(runs)
    there = {run_.baseline.name for run_ in runs}
    idle = [name for name, cls in baselines.items() if cls.__module__ in plugins and name not in there]
    if idle and options.baselines is None:
        every = ",".join([*sorted(there), *idle])
        print(f"not among the runs: {', '.join(idle)}, of --plugin; --baselines {every} runs all")


def _check_gpus(options: argparse.Namespace) -> None:
    """A run on this machine has the GPUs that it asks for."""
    if options.device == "cuda" or (options.gpus and options.device is None):
        import torch

        there = torch.cuda.device_count()
        if there < max(1, options.gpus):
            asked = f"--gpus {options.gpus}" if options.gpus else "--device cuda"
            allowed = f"--gpus {there}" if there else "--device cpu"
            raise UsageError(
                f"{asked}: torch finds {there or 'no'} GPU{'s' * (there > 1)} here; allowed here: {allowed}"
            )
