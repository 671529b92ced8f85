"""``asteroid-bsrnn finetune MODEL -o VARIANT.yml``: the file with which a recipe goes on training a model."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``finetune`` to the console command."""
    parser = subparsers.add_parser(
        "finetune", help="write the variant file with which a recipe goes on training a model"
    )
    parser.add_argument("model", help="name, file, folder, address or hub id")
    parser.add_argument("-o", "--out", required=True, metavar="VARIANT.yml", help="file to write")


def run(args: argparse.Namespace) -> None:
    """Write it and say how to use it."""
    from pathlib import Path

    from ..recipe.tuning import write_variant

    variant, path = write_variant(args.model, args.out), Path(args.out).resolve()
    music = "task" in variant
    script = f"recipes/{'musdb18hq' if music else 'libri2mix'}/run.sh"
    print(f"wrote {args.out}: {variant['model']['model_name']}, starting from {args.model}")
    print(f"train it with: {script} --stage 0 --variant {path} --tag {path.stem}{' --musdb_root FOLDER' * music}")
