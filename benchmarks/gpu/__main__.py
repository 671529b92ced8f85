"""``python -m benchmarks.gpu``: see the package."""

import argparse
import importlib
import json
import sys
from pathlib import Path

from . import plan, report


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 0 if everything that has a verdict is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Acceptance and speed on a card.")
    parser.add_argument("--minutes", type=float, default=8.0, help="what must not be exceeded by much (default: 8)")
    parser.add_argument("--dry", action="store_true", help="tiny, on the processor: does everything run? Needs --out")
    parser.add_argument(
        "--out", type=Path, default=plan.ROOT / "benchmarks", help="folder of RESULTS.md and gpu/*.json"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help=argparse.SUPPRESS)
    parser.add_argument("--group", choices=plan.GROUPS, help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.group:
        return _group(args)
    if args.dry and args.out == plan.ROOT / "benchmarks":
        parser.error("--dry measures nothing worth keeping: say with --out where its results may go")
    device = "cpu" if args.dry else "cuda"
    if not args.dry and not report.facts()["card"]:
        parser.error(
            "no CUDA device can be seen here; --dry --out FOLDER runs everything in tiny form on the processor"
        )
    found = plan.run_groups(args.minutes, device, args.dry, lambda results: _keep(results, args.out))
    report.write(found, args.out, section=True)
    failed = [entry for entry in found if entry.get("ok") is False]
    print(f"{len(found)} results, {len(failed)} not as they should be; written to {args.out}")
    return int(bool(failed))


def _keep(results: list[plan.Result], out: Path) -> None:
    print(report.line(results[-1]), flush=True)
    report.write(results, out)


def _group(args: argparse.Namespace) -> int:
    """One group, in this process: a line of JSON for each result."""
    setting = plan.Setting(args.device, args.dry, args.deadline)
    try:
        module = importlib.import_module(f"{__package__}.{args.group}")
    except ImportError as error:
        results = iter([{"name": args.group, "skipped": f"{error} (a package is missing here)"}])
    else:
        results = module.run(setting)
    for entry in results:
        print(json.dumps(entry), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
