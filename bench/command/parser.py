"""The command line: its options and their help; free of heavy imports, so that --help is immediate."""

import argparse
from pathlib import Path
from typing import NoReturn

from bench.launch.invocation import SUITE, program


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all options."""

    def names(text: str) -> list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]

    def seeds(text: str) -> list[int]:
        try:
            found = [int(part) for part in names(text)]
        except ValueError:
            found = [-1]
        if not all(0 <= seed < 2**63 for seed in found):
            raise argparse.ArgumentTypeError(f"{text[:60]!r}: expected whole numbers from 0 to 2^63 - 1, such as 0,1,2")
        return found

    p = Parser(prog=program(), description="Compare generative models: same data, network, solver, metrics.")
    what = p.add_argument_group("what to run")
    what.add_argument(
        "--suite",
        metavar="NAME_OR_FILE",
        help=f"a suite by name or its TOML file (default: {SUITE}; with --samples one that has the dataset)",
    )
    what.add_argument("--baselines", type=names, metavar="A,B", help="these, whether or not the suite lists them")
    what.add_argument("--datasets", type=names, metavar="A,B", help="only these datasets of the suite")
    what.add_argument("--seeds", type=seeds, metavar="0,1,2", help="these seeds instead of the suite's")
    what.add_argument("--protocol", metavar="NAME", help="one of the suite's protocols: smoke, small or paper")
    what.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. training.steps=500, network.width=64, fm_ot.sigma_min=0.1; KEY= leaves KEY at its default",
    )
    what.add_argument(
        "--claims",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="judge the claims of this TOML file too (see bench/papers/lipman2023/claims.toml)",
    )
    what.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE_OR_MODULE",
        help="import it for what it registers",
    )
    where = p.add_argument_group("where to run it")
    where.add_argument(
        "--cluster",
        choices=("local", "slurm"),
        default="local",
        help="this machine (default), or a Slurm array",
    )
    where.add_argument(
        "--workers", type=int, metavar="N", help="local worker processes (default: one a core, or one a GPU)"
    )
    where.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    where.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="default: results; to look at, an archive of results",
    )
    where.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="datasets and weights (default: $BENCH_DATA, else data)"
    )
    where.add_argument(
        "--gpus",
        type=int,
        default=0,
        metavar="N",
        help="GPUs that share a run, on each of its nodes (default: one, of this machine; none with slurm); with "
        "--device cpu so many processes",
    )
    where.add_argument(
        "--tensorboard",
        action="store_true",
        help="write curves and samples for TensorBoard, too (tensorboard --logdir DIR/SUITE/tensorboard)",
    )
    slurm = p.add_argument_group("with --cluster slurm")
    slurm.add_argument("--partition", metavar="NAME")
    slurm.add_argument("--nodes", type=int, default=1, metavar="N", help="nodes that share a run (default: 1)")
    slurm.add_argument("--cpus", type=int, default=1, metavar="N", help="cores of a rank (default: 1)")
    slurm.add_argument(
        "--hours",
        type=float,
        default=24.0,
        metavar="H",
        help="time limit of a task; it goes on after a requeue (default: 24)",
    )
    slurm.add_argument("--max-parallel", type=int, metavar="N", help="tasks that run at once")
    slurm.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other sbatch option, e.g. account=lab",
    )
    slurm.add_argument("--wait", action="store_true", help="follow the array until it is done, then report")
    made = p.add_argument_group("score samples made elsewhere")
    made.add_argument(
        "--samples",
        action="append",
        metavar="DIR_OR_FILE",
        help="a folder of images, an array in .npz or .npy, or a table of points, by the suite's metrics, n, split and "
        "extractor, in the suite's tables",
    )
    made.add_argument("--dataset", action="append", metavar="NAME", help="the dataset that they are to be like")
    made.add_argument("--label", action="append", metavar="TEXT", help='what they are called, e.g. "StyleGAN2"')
    instead = p.add_argument_group("instead of running")
    action = instead.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="say what would run, one line per cell")
    action.add_argument(
        "--estimate",
        action="store_true",
        help="say what the runs will cost, by timing each cell for some seconds",
    )
    action.add_argument("--status", action="store_true", help="say how every run of the suite stands")
    action.add_argument("--report", action="store_true", help="rebuild tables, plots and page from the records")
    action.add_argument(
        "--fetch", action="store_true", help="fetch the suite's data ahead, for nodes without a network"
    )
    action.add_argument(
        "--list",
        nargs="?",
        const="",
        metavar="NAME",
        help="list the suites and all that is registered; of NAME, its options",
    )
    action.add_argument(
        "--check", action="store_true", help="check that all of --plugin keeps its contract, in seconds"
    )
    action.add_argument(
        "--archive", type=Path, metavar="FILE.tar.xz", help="write the suite's records into one file to pass on"
    )
    action.add_argument(
        "--export", metavar="RUN_ID", help="write its weights and settings to RUN_ID.safetensors here, for bench.load"
    )
    instead.add_argument(
        "--merge",
        action="append",
        default=[],
        type=Path,
        metavar="DIR_OR_FILE",
        help="with --archive: the records of this suite's folder or archive too",
    )
    instead.add_argument(
        "--arrays",
        type=names,
        metavar="DATASETS",
        help="with --archive: what figures draw, of these datasets alone ('' for none; default: of all)",
    )
    instead.add_argument("--json", action="store_true", help="with --dry-run or --estimate: as JSON")
    p.add_argument("--retry", action="store_true", help="run failed runs again, and measure what good ones have lost")
    p.add_argument(
        "--keep-stale", action="store_true", help="vouch for records of older code: they count as measured by today's"
    )
    return p
