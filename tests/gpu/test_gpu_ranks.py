"""NCCL with one rank: the backends that several GPUs share a run by, in a process of their own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

# `joined` takes one rank for no group at all, so the group is joined by hand, in the same words.
SCRIPT = """
import sys
import torch
from torch import distributed
from bench.training import ranks
from bench.training.optimiser import moments, optimiser, restore_moments, share_gradients
from bench.config.settings import Training

device = sys.argv[1]
cuda = device == "cuda"
distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
ranks._count = 2  # so that nothing takes the way of a single one; a sum over one rank is the value itself
x = torch.arange(6.0, device=device)
assert torch.equal(ranks.total(x.clone()), x)
assert ranks.agreed(1.0, 3.5) == [1.0, 3.5]
ranks.barrier()
layer = torch.nn.Linear(3, 2).to(device)
layer(torch.ones(4, 3, device=device)).square().mean().backward()
before = [p.grad.clone() for p in layer.parameters()]
loss = torch.tensor(2.0, device=device)
share_gradients(list(layer.parameters()), loss)
assert all(torch.equal(p.grad, g) for p, g in zip(layer.parameters(), before)) and float(loss) == 2.0
sharded = optimiser(list(layer.parameters()), Training(steps=1, shard_optimizer=True))
assert type(sharded).__name__ == "ZeroRedundancyOptimizer"
sharded.step()
restore_moments(sharded, moments(sharded))
sharded.step()
assert all(torch.isfinite(p).all() for p in layer.parameters())
if cuda:
    distributed.all_reduce(x)
    torch.cuda.synchronize()
distributed.destroy_process_group()
print("done on", device)
ranks.end(0)
"""


def test_nccl_sums_agrees_and_shards(device: str, tmp_path: Path) -> None:
    script = tmp_path / "one_rank.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(script), device],
        env={**os.environ, **alone, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout.strip().endswith(f"done on {device}"), done.stderr
