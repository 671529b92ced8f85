"""``python -m benchmarks``: see the package."""

import argparse
import importlib
import time
from pathlib import Path

import torch

import asteroid_bsrnn  # noqa: F401  (its repairs come before everything else)
from asteroid_bsrnn.common.precision import supports

from . import record
from .settings import Settings

NAMES = (
    "exactness",
    "training",
    "songs",
    "pipeline",
    "loading",
    "scores",
    "speech",
    "scaling",
    "table1",
    "scale",
    "memory",
    "card",
    "streams",
    "onnx",
    "products",
)


def main(argv=None):
    """Run the benchmarks that are asked for and write what they gave."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure ours against baselines.")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs; needs --out")
    parser.add_argument("--out", type=Path, default=record.HERE, help="folder of RESULTS.md (default: benchmarks)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    if args.quick and args.out == record.HERE:
        parser.error("--quick measures nothing worth keeping: say with --out where its results may go")
    repeats = 1 if args.quick else args.repeats
    if args.quick:
        torch.set_num_threads(1)  # two that wait for each other on a busy machine take minutes
    settings = Settings(args.device, args.quick, repeats, torch.get_num_threads(), args.out)
    for name in args.only:
        start = time.perf_counter()
        print(f"{name} ...", flush=True)
        block = importlib.import_module(f"{__package__}.{name}").run(settings)
        if args.device == "cpu" and name in ("training", "songs"):
            block.text("CUDA: no CUDA device on this machine: not measured.")
        if name in ("exactness", "training", "songs") and not supports("bf16", args.device):
            block.text("bf16: cannot be had on this device: not measured.")
        record.save({name: block}, args.out)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"written to {args.out / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
