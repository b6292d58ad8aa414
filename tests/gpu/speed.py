"""Part (b): training on images as suite cifar10's `small` does it, with one thing changed at a time.

`python tests/gpu/speed.py --data-dir DIR --out FILE.md [--tiny]`; a row is written as soon as it is measured.
"""

import argparse
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "perf"), str(HERE)]

import cifar10_25k  # noqa: E402
import torch  # noqa: E402
from compare import Row  # noqa: E402
from image_training import product_rate, side_by_side  # noqa: E402
from run import HEADER, cells, facts, line, markdown  # noqa: E402

from bench.config.plan import plan  # noqa: E402
from bench.config.suite import load_suite  # noqa: E402
from bench.records import provenance  # noqa: E402

ROUNDS = 5
AS_IT_IS = {"compile": True, "channels_last": True}
VARIANTS = {
    "fm_ot": AS_IT_IS,
    "fm_ot, compile off": {"compile": False, "channels_last": True},
    "fm_ot, compile and channels_last off": {"compile": False, "channels_last": False},
    "fm_ot, channels_last off": {"compile": True, "channels_last": False},
    "ot_cfm, compile off": {"compile": False, "channels_last": True},
    "ddpm, compile off": {"compile": False, "channels_last": True},
    "rnode": {"compile": False, "channels_last": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="the rehearsal's sizes: the numbers mean nothing")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset = cifar10_25k.cifar10_25k(options.data_dir)
    _, suite = load_suite("cifar10")
    runs = {run.baseline.name: run for run in plan("cifar10", suite, "smoke" if options.tiny else "small")}
    rate = {precision: product_rate(device, precision) for precision in ("fp32", "bf16")}
    about = f"{facts(ROUNDS)}\n\nOn {provenance.device_name(device)}."
    print(about, line(HEADER), sep="\n\n", flush=True)
    rows: list[Row] = []
    for name, changes in VARIANTS.items():
        run = runs[name.split(",")[0]]
        if options.tiny:
            changes = {**changes, "compile": False, "batch": 8}
        changed = run.model_copy(update={"training": run.training.model_copy(update=changes)})
        peak = rate[run.training.precision]
        try:
            torch.compiler.reset()
            length = 0.01 if options.tiny else 0.6
            row = side_by_side(f"training on CIFAR-10, {name}", changed, dataset, device, ROUNDS, peak, length)
        except Exception as error:  # the other rows are wanted all the same
            traceback.print_exc()
            row = Row(
                f"training on CIFAR-10, {name}", note=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            )
        print(line(cells(row)), f"    {row.note}", sep="\n", flush=True)
        rows.append(row)
        options.out.write_text(markdown(rows, about), encoding="utf-8")


if __name__ == "__main__":
    main()
