"""Run a suite: plan it, launch what is missing, report. Installed, the command is called `flow-matching-bench`.

    python run_all.py                                  the suite `quick` on this machine
    python run_all.py --suite cifar10 --cluster slurm  one Slurm array, one task a run
    python run_all.py --suite quick --report           tables, plots and page from the records alone

Exit code 0: all runs are finished; 1: a run failed, or could not go on (a full disk, a submission refused half way);
2: a bad option, key or name, and nothing was started.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

if (_here := os.path.dirname(os.path.abspath(__file__))) not in sys.path:
    sys.path.insert(0, _here)  # python -P and -I leave it out

from bench.command.output import lasting
from bench.errors import HalfSubmitted, UsageError
from bench.launch.invocation import again, program, remember
from bench.records.disk import DENIED, shortage


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The command line; kept free of heavy imports, so that --help is immediate."""

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
        default="quick",
        metavar="NAME_OR_FILE",
        help="a suite by name or its TOML file (default: quick)",
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
    instead = p.add_argument_group("instead of running")
    action = instead.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="say what would run")
    action.add_argument("--status", action="store_true", help="say how every run of the suite stands")
    action.add_argument("--report", action="store_true", help="rebuild tables, plots and page from the records")
    action.add_argument(
        "--fetch", action="store_true", help="fetch the suite's data ahead, for nodes without a network"
    )
    action.add_argument("--list", action="store_true", help="list the suites and all that is registered")
    action.add_argument(
        "--check", action="store_true", help="check that all of --plugin keeps its contract, in seconds"
    )
    action.add_argument(
        "--archive", type=Path, metavar="FILE.tar.xz", help="write the suite's records into one file to pass on"
    )
    instead.add_argument(
        "--merge",
        action="append",
        default=[],
        type=Path,
        metavar="DIR_OR_FILE",
        help="with --archive: the records of this suite's folder or archive too",
    )
    p.add_argument("--retry", action="store_true", help="run failed runs again, and measure what good ones have lost")
    p.add_argument(
        "--keep-stale", action="store_true", help="vouch for records of older code: they count as measured by today's"
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, plan, launch what is missing, report; returns the exit code."""
    _no_warning_is_an_error()
    with lasting():
        options = parser().parse_args(arguments)
        try:
            if _started_by_torchrun():
                ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
                raise UsageError(f"started by torchrun; `{again(options, '--gpus', ranks)}` starts torchrun itself")
            remember(options)
            return dispatch(options)
        except UsageError as error:
            return _complain(2, str(error))
        except HalfSubmitted as refused:
            return _complain(1, f"{refused}; the same command submits the rest")
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
            return 130
        except OSError as error:
            if full := shortage(error, options.results):
                return _complain(1, f"{full}; the same command goes on once there is room")
            if error.errno in DENIED:
                return _complain(1, f"{error.filename}: {error.strerror}")
            raise


def _complain(code: int, complaint: str) -> int:
    print(f"{program()}: error: {complaint}", file=sys.stderr)
    return code


def _no_warning_is_an_error() -> None:
    """-W error and PYTHONWARNINGS=error are for a program's tests: the libraries here warn in passing."""
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)


def _started_by_torchrun() -> bool:
    """Whether torchrun itself is the parent: its variables are inherited by whatever a job of others starts, too."""
    try:
        parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    launchers = (b"torchrun", b"torch.distributed.run", b"torch.distributed.launch")
    return "TORCHELASTIC_RUN_ID" in os.environ and any(os.path.basename(word) in launchers for word in parent)


def dispatch(options: argparse.Namespace) -> int:
    if options.list:
        from bench.command.listing import show

        return show(options)
    data_dir = options.data_dir or Path(os.environ.get("BENCH_DATA", "data"))
    if options.check:
        from bench.command.check import check

        return check(options, data_dir.resolve())
    from bench.command import actions as command

    if options.merge and not options.archive:
        raise UsageError(f"--merge {options.merge[0]}: needs --archive FILE.tar.xz")
    if options.archive or options.results.is_file():
        from bench.command import archives

        return archives.act(options)
    name, suite, runs = command.planned(options)
    root = options.results / name
    if options.dry_run:
        return command.dry_run(options, root, runs)
    if options.fetch:
        return command.fetch(runs, data_dir)
    if options.status:
        return command.status(root, runs)
    if options.report:
        return command.report(root, runs)
    return command.run(options, root, suite.about, runs, data_dir)


if __name__ == "__main__":
    sys.exit(main())
