"""What options of the command line come to: plugins, claims, settings, ranks of a run, what is asked of Slurm."""

import argparse
from typing import TYPE_CHECKING, Any

from bench.config import toml
from bench.config.plan import UNSET
from bench.config.registry import load_plugin
from bench.config.suite import validated
from bench.errors import UsageError
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


def ranks_of_a_run(options: argparse.Namespace) -> int:
    """Processes that share it."""
    return int(options.nodes * max(1, options.gpus))


def slurm_options(options: argparse.Namespace) -> "SlurmOptions":
    """What each task asks of the cluster; UsageError for what no cluster can give."""
    from bench.launch.slurm import SlurmOptions

    names = ("partition", "gpus", "cpus", "hours", "max_parallel", "nodes")
    asked = {name: getattr(options, name) for name in names}
    extra = {key: str(value) for key, value in (key_value("--sbatch", text) for text in options.sbatch)}
    found: SlurmOptions = validated(SlurmOptions, {**asked, "extra": extra}, "--cluster slurm")
    return found
