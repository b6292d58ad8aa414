"""Two ranks of one run on this machine, each a process that a test hands the same script."""

import os
import socket
import subprocess
import sys

from bench.launch.surroundings import interpreter

END = "\nfrom bench.training import ranks\nranks.end(0)\n"


def outputs_of_two_ranks(script: str, *arguments: str) -> list[str]:
    """What each rank prints; both must end well, in the way that ranks of a run do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script + END, *arguments],
            env=os.environ | interpreter() | group | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = []
    for process in started:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        outputs.append(out)
    return outputs
