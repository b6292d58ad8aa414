"""Run a suite: plan it, launch what is missing, report. Installed, the command is called `flow-matching-bench`.

    python run_all.py                                  the suite `quick` on this machine
    python run_all.py --suite cifar10 --cluster slurm  one Slurm array, one task a run
    python run_all.py --suite quick --report           tables, plots and page from the records alone
    python run_all.py --samples DIR --dataset cifar10 --label StyleGAN2
                                                       the score of samples made elsewhere, beside the runs of a suite

Exit code 0: all runs are finished; 1: a run failed, or could not go on (a full disk, a submission refused half way);
2: a bad option, key or name, and nothing was started.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

if (_here := os.path.dirname(os.path.abspath(__file__))) not in sys.path:
    sys.path.insert(0, _here)  # python -P and -I leave it out

from bench.command.output import lasting
from bench.command.parser import parser
from bench.errors import HalfSubmitted, UsageError
from bench.launch.invocation import again, program, remember
from bench.launch.threads import WAITING
from bench.records.disk import DENIED, shortage


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, plan, launch what is missing, report; returns the exit code."""
    _no_warning_is_an_error()
    os.environ.setdefault(*WAITING)
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
    if options.merge and not options.archive:
        raise UsageError(f"--merge {options.merge[0]}: needs --archive FILE.tar.xz")
    if options.arrays is not None and not options.archive:
        raise UsageError(f"--arrays {','.join(options.arrays)}: needs --archive FILE.tar.xz")
    if options.json and not (options.dry_run or options.estimate):
        raise UsageError("--json: needs --dry-run or --estimate")
    data_dir = options.data_dir or Path(os.environ.get("BENCH_DATA", "data"))
    if options.samples or options.dataset or options.label:
        from bench.command import elsewhere

        return elsewhere.score(options, data_dir.resolve())
    if options.list is not None:
        from bench.command.listing import show

        return show(options)
    if options.check:
        from bench.command.check import check

        return check(options, data_dir.resolve())
    if options.export is not None:
        from bench.command.export import export

        return export(options, data_dir.resolve())
    from bench.command import actions as command

    if options.archive or options.results.is_file():
        from bench.command import archives

        return archives.act(options)
    name, suite, runs = command.planned(options)
    root = options.results / name
    if options.dry_run:
        from bench.command.dry_run import dry_run

        return dry_run(options, root, runs)
    if options.estimate:
        from bench.command.estimate import estimate

        return estimate(options, root, runs, data_dir.resolve())
    if options.fetch:
        return command.fetch(runs, data_dir)
    if options.status:
        return command.status(root, runs)
    if options.report:
        return command.report(root, runs)
    return command.run(options, root, suite.about, runs, data_dir)


if __name__ == "__main__":
    sys.exit(main())
