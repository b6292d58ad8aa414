"""CPU seconds of one run of suite toys, by stage, and what exact W2 takes of them.

A run is measured in a process of its own, on one thread, after a short one that does all that is done once a process.
PERF_BASE names a checkout of another commit: the whole run is then timed there, too, turn by turn. Two rounds of what
takes a minute or two are enough.
`python tests/perf/suite.py CHECKOUT BASELINE DATA_DIR` measures one run by the code of a checkout.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
METHODS, DATASET = ("fm_ot", "ddpm"), "checkerboard"
STAGES = ("train", "likelihood", "samples", "sweep")
SHORT = {"training.steps": 5, "training.curve_points": 1}


def rows(rounds: int, data_dir: Path) -> Iterator[Any]:
    from compare import Row, base

    before_us, commit = base()
    rounds = min(rounds, 2)  # of a minute or two each
    for method in METHODS:
        found: list[list[dict[str, float]]] = [[], []]
        for i in range(rounds):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                if side == 0 or before_us:
                    found[side].append(elsewhere(before_us if side else str(HERE), method, data_dir))
        ours, before = found
        whole = tuple(each["run"] for each in ours)
        title = f"suite toys, {method} on {DATASET}"
        if before:
            reference = tuple(each["run"] for each in before)
            note = f"the whole run, against the code of {commit}; measured {rounds} times"
            yield Row(f"{title}, CPU time", "s", whole, reference, "at most 0.6", note)
        for part in ("w2", *STAGES):
            asked = "at most 0.15" if part == "w2" else ""
            spent = tuple(each[part] for each in ours)
            note = f"validation is part of train; measured {rounds} times"
            yield Row(f"{title}, {part} over all", "s", spent, whole, asked, note)


def elsewhere(checkout: str, method: str, data_dir: Path) -> dict[str, float]:
    """CPU seconds of a run, of its stages and of W2, in a process that uses the code of a checkout."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, checkout, method, str(data_dir.resolve())]
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(method: str, data_dir: Path) -> dict[str, float]:
    """What `elsewhere` gives, by the code that this process imports; the short run makes the floors, too."""
    import torch

    torch.set_num_threads(1)
    from bench.config.plan import plan
    from bench.config.suite import SUITES, Suite
    from bench.evaluation import paths
    from bench.evaluation.stages import Stages
    from bench.launch.job import Job
    from bench.metrics import w2

    spent: dict[str, float] = {}

    def timed(work: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            begun = time.process_time()
            try:
                return work(*given)
            finally:
                spent[name(*given)] = spent.get(name(*given), 0.0) + time.process_time() - begun

        return call

    Stages.run_stage = timed(Stages.run_stage, lambda _, stage: stage)
    w2.wasserstein2 = paths.wasserstein2 = timed(w2.wasserstein2, lambda *_: "w2")
    suite = Suite.model_validate(tomllib.loads((SUITES / "toys.toml").read_text(encoding="utf-8")))
    for settings in (SHORT, {}):
        *_, run = plan("toys", suite, baselines=[method], datasets=[DATASET], seeds=[0], settings=settings)  # untuned
        with tempfile.TemporaryDirectory() as folder:
            spent.clear()
            begun = time.process_time()
            if Job(run, Path(folder), data_dir)() != "ok":
                raise RuntimeError(f"{run.run_id} failed")
            spent["run"] = time.process_time() - begun
    return spent


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
