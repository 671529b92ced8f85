"""``asteroid-bsrnn report``: tables, figures and the listening page."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("report", help="tables, figures and a listening page of experiments")
    parser.add_argument(
        "exp_dirs",
        nargs="*",
        metavar="EXP_DIR",
        help="experiment folders, or a folder of them; with --page also folders of sound examples",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder to write into (default: EXP_DIR/report for one, else the folder report beside them)",
    )
    parser.add_argument(
        "--published", action="store_true", help="draw the published tables and figures as well, or alone"
    )
    parser.add_argument("--page", action="store_true", help="build a listening page of the folders instead of a report")
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap, clip selection and ABX order (default: 0)")
    parser.add_argument(
        "--info",
        type=Path,
        metavar="CSV",
        help="with --page: LibriMix's *_info.csv, to add a pair of speakers of one sex",
    )


def run(args: argparse.Namespace) -> None:
    """Write the report or the page and print where it is."""
    from ..common.errors import UserError
    from ..report import build_page, write_report

    if not args.exp_dirs and (args.page or not args.published):
        raise UserError("give at least one EXP_DIR, or --published for the published tables and figures alone")
    out = args.out or default_out(args.exp_dirs, "page" if args.page else "report")
    if args.page:
        print(build_page(args.exp_dirs, out, seed=args.seed, info=args.info))
    else:
        print(write_report(args.exp_dirs, out, args.published, args.seed))


def default_out(folders: Sequence[str | Path], name: str) -> Path:
    """Where to write when the user names no folder."""
    if not folders:
        return Path(name)
    return Path(folders[0]) / name if len(folders) == 1 else Path(folders[0]).resolve().parent / name
