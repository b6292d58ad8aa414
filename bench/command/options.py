"""What options of the command line come to: plugins, claims, settings, ranks, a task of Slurm; and what is refused."""

import argparse
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.command.parser import parser
from bench.config import toml
from bench.config.plan import UNSET
from bench.config.registry import baselines, load_plugin
from bench.config.suite import Run
from bench.config.validated import validated
from bench.errors import UsageError
from bench.launch.asking import require
from bench.papers.claims import load_claims, register_claim

if TYPE_CHECKING:
    from bench.launch.slurm import SlurmOptions


def declare(options: argparse.Namespace) -> None:
    """Have the claims and the plugins that are named take part in what follows."""
    for path in options.claims:
        for claim in load_claims(path):
            register_claim(claim)
    for plugin in options.plugin:
        load_plugin(plugin)


def setting(text: str) -> tuple[str, Any]:
    """The key and value of a `--set`; without a value the setting is taken away."""
    key, value = key_value("--set", text)
    return key, value if text.partition("=")[2].strip() else UNSET


def key_value(option: str, text: str) -> tuple[str, Any]:
    """ "a.b=1e-3" -> ("a.b", 0.001): values are read as TOML, and as text where they are not TOML."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"{option} {text}: expected KEY=VALUE")
    try:
        return key, toml.parse(f"value = {value}")["value"]
    except toml.NotToml:
        return key, value
    except ValueError as error:
        raise UsageError(f"{option} {key}={value[:20]}...: {error}") from None


def check_alone(options: argparse.Namespace, action: str, taken: Collection[str]) -> None:
    """UsageError for an option beside an action that takes no others than those."""
    usual = parser()
    for option, value in vars(options).items():
        if option not in taken and value != usual.get_default(option):
            raise UsageError(f"--{action}: cannot be combined with --{option.replace('_', '-')}")


def ranks_of_a_run(options: argparse.Namespace) -> int:
    """Processes that share it."""
    return int(options.nodes * max(1, options.gpus))


def device_of(options: argparse.Namespace) -> str:
    """The device of a run: as it is said, or what is there; on Slurm what is asked for."""
    if options.device is not None:
        return str(options.device)
    if options.cluster == "slurm":
        return "cuda" if options.gpus else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def threads_of(options: argparse.Namespace, device: str) -> int:
    """Threads of each rank of a run."""
    if options.cluster == "slurm":
        return int(options.cpus)
    from bench.launch.local import threads_of_a_rank

    return threads_of_a_rank(options.workers, device, ranks_of_a_run(options))


def slurm_options(options: argparse.Namespace) -> "SlurmOptions":
    """What each task asks of the cluster; UsageError for what no cluster can give."""
    from bench.launch.slurm import SlurmOptions

    names = ("partition", "gpus", "cpus", "hours", "max_parallel", "nodes")
    settings = {name: getattr(options, name) for name in names}
    extra = {key: str(value) for key, value in (key_value("--sbatch", text) for text in options.sbatch)}
    found: SlurmOptions = validated(SlurmOptions, {**settings, "extra": extra}, "--cluster slurm")
    return found


def check_options(options: argparse.Namespace) -> None:
    """UsageError for an option that no run could start with, whether or not one is to start."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: at least 1")
    if options.tensorboard and find_spec("tensorboard") is None:
        raise UsageError("--tensorboard: TensorBoard is not installed; pip install tensorboard")
    if options.cluster == "slurm":
        slurm_options(options)
        return
    if options.nodes != 1:
        raise UsageError(f"--nodes {options.nodes}: for --cluster slurm; allowed here: 1")
    if options.gpus < 0:
        raise UsageError(f"--gpus {options.gpus}: 0 or more")
    slurm_only = {"partition": options.partition, "max-parallel": options.max_parallel}
    for key, value in (slurm_only | {"sbatch": " ".join(options.sbatch) or None}).items():
        if value is not None:
            raise UsageError(f"--{key} {value}: for --cluster slurm; leave it out with --cluster {options.cluster}")


def check_device(options: argparse.Namespace) -> None:
    """UsageError for GPUs that this machine has not."""
    if options.device == "cuda" or (options.gpus and options.device is None):
        import torch

        count = torch.cuda.device_count()
        if count < max(1, options.gpus):
            option = f"--gpus {options.gpus}" if options.gpus else "--device cuda"
            allowed = f"--gpus {count}" if count else "--device cpu"
            found = f"{count or 'no'} GPU{'s' * (count > 1)}"
            raise UsageError(f"{option}: torch finds {found} here; allowed here: {allowed}")


def check(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """UsageError for what cannot be run as it is asked for; the plugin's methods that no run is of are named."""
    if options.cluster == "slurm":
        require("sbatch")
    else:
        check_device(options)
    check_runs(options, runs)


def check_runs(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """The same wherever they run."""
    for run_ in runs:
        t = run_.training
        if not t.weights and t.pieces % ranks_of_a_run(options):
            raise UsageError(
                f"--gpus {options.gpus}: {ranks_of_a_run(options)} ranks cannot share the {t.pieces} micro-batches of "
                f"training.batch = {t.batch} evenly ({run_.run_id}); set training.micro_batch"
            )
    plugins = {load_plugin(plugin).__name__ for plugin in options.plugin}
    from bench.config.beforehand import validate

    validate(runs)
    methods = {run_.baseline.name for run_ in runs}
    idle = [name for name, cls in baselines.items() if cls.__module__ in plugins and name not in methods]
    if idle and options.baselines is None:
        every = ",".join([*sorted(methods), *idle])
        print(f"not among the runs: {', '.join(idle)}, of --plugin; --baselines {every} runs all")
