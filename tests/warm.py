"""Interpreters that start warm: forked from a process that has imported what runs and reports need.

An interpreter with torch takes three to eight seconds to start, a fork a hundredth. Within `interpreters()`, whatever
starts `sys.executable` through `subprocess` gets a fork of the nursery, a process of its own that has imported modules
and done nothing else; what such a process starts in turn is a fork of it. Arguments, environment, folder, descriptors,
group, exit code and signals are those of a new interpreter. Switches other than -u and -P get a new interpreter.
Pictures of a density are small in such processes and in this one: their 6,400 points take most of a small run.
"""

import atexit
import ctypes
import faulthandler
import fcntl
import functools
import gc
import importlib
import io
import os
import pickle
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import dropwhile
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from joblib.externals.loky.backend import fork_exec

ROOT = Path(__file__).parents[1]
MODULES = (
    *(
        "torch",
        "torch._dynamo",
        "torch.distributed.run",
        "torchdiffeq",
        "diffusers",
        "ot",
        "scipy.stats",
        "sklearn.datasets",
        "pandas",
        "jinja2",
    ),
    *("matplotlib.pyplot", "seaborn", "PIL.Image", "rich.live", "threadpoolctl", "baselines", "bench.command.actions"),
    *("bench.command.check", "bench.command.conformance", "bench.command.conformance_of_results"),
    *("bench.launch.job", "bench.launch.local", "bench.launch.torchrun", "bench.evaluation.stages", "bench.report"),
    *("bench.report.figures", "bench.report.page", "bench.report.style", "bench.metrics.extractors.features"),
    *("diffusers.schedulers.scheduling_ddim", "diffusers.schedulers.scheduling_ddpm", "pandas.io.formats.style"),
    *("fontTools.subset", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_agg"),
)
SIDE = 16  # points a side of a density's picture
HIGH = 512  # descriptors above this are on their way to their own number
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER

one_at_a_time = threading.Lock()
new_interpreter = subprocess.Popen._execute_child  # type: ignore[attr-defined]


class Start(NamedTuple):
    """How a process is to be started, with the numbers that its descriptors have in it."""

    arguments: Sequence[str]
    environment: dict[str, str]
    folder: str
    cores: set[int]
    numbers: list[int]
    group: int
    session: bool


@contextmanager
def interpreters() -> Iterator[None]:
    """Within, `subprocess` forks the nursery for an interpreter."""
    from bench.evaluation import density

    nursery()  # before anything is patched
    with pytest.MonkeyPatch.context() as patch:
        execute = functools.partialmethod(_execute, _forked_by_the_nursery)
        patch.setattr(subprocess.Popen, "_execute_child", execute)
        patch.setattr(fork_exec, "fork_exec", functools.partial(_fork_exec, _forked_by_the_nursery))
        patch.setattr(density, "SIZE", SIDE)
        yield


@functools.cache
def nursery() -> socket.socket:
    """The connection to this process's nursery, which ends with it."""
    ours, theirs = socket.socketpair()
    # Its forks become children of this process, which can wait for them.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", "import warm, sys; warm.serve(int(sys.argv[1]))", str(theirs.fileno())]
    subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], process_group=0
    )
    theirs.close()
    return ours


def _forked_by_the_nursery(start: Start, descriptors: list[int]) -> int:
    message = pickle.dumps(start)
    header = len(message).to_bytes(8, "little")
    with one_at_a_time:
        nursery().sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))])
        nursery().sendall(message)
        return int.from_bytes(_received(nursery(), 8), "little")


def _received(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _execute(process: Any, fork: Any, args: Any, executable: Any, preexec_fn: Any, *more: Any) -> None:
    """`Popen._execute_child`, of an interpreter that can be forked or of anything else."""
    _, pass_fds, cwd, env, _, _, shell, *pipes_and_rights = more
    pipes, (*_, session, group) = pipes_and_rights[:6], pipes_and_rights[6:]
    arguments = [os.fsdecode(part) for part in args] if isinstance(args, list | tuple) else []
    rest = list(dropwhile(("-u", "-P").__contains__, arguments[1:]))
    known = rest and (rest[0] in ("-m", "-c") or not rest[0].startswith("-"))
    if arguments[:1] != [sys.executable] or not known or shell or preexec_fn:
        new_interpreter(process, args, executable, preexec_fn, *more)
        return
    inside = {0: pipes[0], 1: pipes[3], 2: pipes[5]} | {fd: fd for fd in pass_fds}
    given = {number: number if fd == -1 else fd for number, fd in inside.items()}
    given = {number: fd for number, fd in given.items() if _is_open(fd)}
    environment = {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()}
    folder, cores = os.fspath(cwd or os.getcwd()), os.sched_getaffinity(0)
    process.pid = fork(Start(rest, environment, folder, cores, list(given), group, session), list(given.values()))
    process._child_created = True
    process._close_pipe_fds(*pipes)


def _fork_exec(fork: Any, command: Sequence[str], keep_fds: Iterable[int], env: dict[str, str] | None = None) -> int:
    """joblib's way to start an interpreter."""
    numbers = [fd for fd in sorted({0, 1, 2, *map(int, keep_fds)}) if _is_open(fd)]
    environment = {**os.environ, **(env or {})}
    return fork(Start(command[1:], environment, os.getcwd(), os.sched_getaffinity(0), numbers, -1, False), numbers)


def _is_open(fd: int) -> bool:
    with suppress(OSError):
        os.fstat(fd)
        return True
    return False


def _forked_here(start: Start, descriptors: list[int]) -> int:
    pid = _fork()
    if pid == 0:
        _become(start, descriptors)
    return pid


def _fork() -> int:
    """os.fork, after which a signal waits for the fork's own handlers: with this process's it would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


# The nursery.


def serve(descriptor: int) -> None:
    """Fork whenever a start arrives, until the connection closes."""
    for module in MODULES:
        importlib.import_module(module)
    from matplotlib import pyplot
    from PIL import Image

    from bench.command.listing import SEVEN
    from bench.evaluation import density
    from bench.identity import source

    density.SIZE = SIDE

    for registry in SEVEN:
        registry.load()
    subprocess.Popen._execute_child = functools.partialmethod(_execute, _forked_here)  # type: ignore
    fork_exec.fork_exec = functools.partial(_fork_exec, _forked_here)
    for path in [*(ROOT / "bench").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]:
        source.module(path)
    with io.BytesIO() as png, io.BytesIO() as pdf:
        figure = pyplot.figure()
        figure.text(0, 0, "a")
        figure.savefig(png, format="png")
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        pyplot.close(figure)
        Image.open(png).convert("P").save(pdf, "PNG")
    gc.collect()
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    while True:
        header, descriptors, _, _ = socket.recv_fds(connection, 8, 64)
        if not header:
            return
        start = pickle.loads(_received(connection, int.from_bytes(header, "little")))
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            parent, pid = os.getpid(), _fork()
            if pid:
                os.write(writing, pid.to_bytes(8, "little"))
                os._exit(0)
            while os.getppid() == parent:
                time.sleep(0.0005)
            _become(start, descriptors)
        os.close(writing)
        pid_of_fork = os.read(reading, 8)
        os.close(reading)
        os.waitpid(between, 0)
        for fd in descriptors:
            os.close(fd)
        connection.sendall(pid_of_fork)


# The fork.


def _become(start: Start, descriptors: list[int]) -> NoReturn:
    """Be the interpreter that was asked for, to the end."""
    code = 1
    try:
        _take_over(start, descriptors)
        code = _exit_code(start.arguments)
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)


def _take_over(start: Start, descriptors: list[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if start.session:
        os.setsid()
    elif start.group >= 0:
        os.setpgid(0, start.group)
    on_their_way = [fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for fd in descriptors]
    os.closerange(0, HIGH)
    for fd, number in zip(on_their_way, start.numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.sched_setaffinity(0, start.cores)
    os.environ.clear()
    os.environ.update(start.environment)
    os.chdir(start.folder)
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8:strict").partition(":")
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = None
        if number in start.numbers:
            handling = "backslashreplace" if number == 2 else errors or "strict"
            stream = io.TextIOWrapper(
                os.fdopen(number, mode + "b", closefd=False),
                encoding,
                handling,
                line_buffering=number == 2 or os.isatty(number),
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.disable()
    if "PYTHONFAULTHANDLER" in os.environ:
        faulthandler.enable()
    random.seed()
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(start.cores))
    if threads != 1:
        import torch

        torch.set_num_threads(threads)


def _exit_code(arguments: Sequence[str]) -> int:
    """Run the program; what the interpreter would end with."""
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:0] = [entry for entry in added if entry not in sys.path]
    try:
        if arguments[0] == "-m":
            sys.argv[:] = arguments[1:]
            sys.modules.pop(arguments[1], None)
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv[:] = ["-c", *arguments[2:]]
            sys.path.insert(0, "")
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
        else:
            sys.argv[:] = arguments
            sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
            main = types.ModuleType("__main__")
            main.__file__ = arguments[0]
            sys.modules["__main__"] = main
            exec(compile(Path(arguments[0]).read_bytes(), arguments[0], "exec"), main.__dict__)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
