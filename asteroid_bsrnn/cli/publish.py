"""``asteroid-bsrnn publish EXP_DIR``: the folder that one uploads to share a trained model."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add ``publish`` to the console command."""
    parser = subparsers.add_parser("publish", help="write the folder to upload: weights, model card, configuration")
    parser.add_argument("exp_dir", help="experiment folder with best_model.pth")
    parser.add_argument("-o", "--out", help="folder to write (default: EXP_DIR/publish_dir)")
    parser.add_argument("--licence", help="licence of the weights, e.g. cc-by-nc-4.0; nothing is assumed")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")


def run(args: argparse.Namespace) -> None:
    """Write the folder and say how to upload it."""
    from ..publishing.folder import publish

    folder = publish(args.exp_dir, args.out, args.licence, args.overwrite)
    print(f"wrote {folder}")
    if not args.licence:
        print("its licence is given as not stated: pass --licence to state one")
    print(f"upload it with: hf upload ORG/NAME {folder}")
