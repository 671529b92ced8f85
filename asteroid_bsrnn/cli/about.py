"""``asteroid-bsrnn info``: what to paste into a report of a fault."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``info`` to the console command."""
    parser = subparsers.add_parser("info", help="versions, devices, threads, memory: what to paste into a report")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def run(args: argparse.Namespace) -> None:
    """Print them."""
    import json

    from .. import host
    from ..common.plugins import installed_names
    from ..common.surroundings import surroundings
    from ..experiment.run import commit, versions

    found = {**versions(), **commit(), **surroundings(), "plugins": installed_names(), "repaired": list(host.REPAIRED)}
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        print(f"{name:<18} {'unknown' if shown is None else shown}")
