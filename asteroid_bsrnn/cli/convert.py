"""``asteroid-bsrnn convert``: other implementations' checkpoints to model files of this package."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add this command to the console command."""
    parser = subparsers.add_parser(
        "convert",
        help="other implementations' checkpoints to model files of this package",
        description="Convert checkpoints of other implementations. Their format is recognised by what is inside; "
        "nothing in them is executed. Several files become one model of all their sources.",
    )
    parser.add_argument("files", nargs="+", metavar="IN", help="checkpoints")
    parser.add_argument("out", metavar="OUT", help="model file to write, .pth or .safetensors")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="YAML",
        help="configuration that lay beside IN; again for each further IN",
    )
    parser.add_argument("--sources", help="names of the sources, separated by commas, in the order of the files")


def run(args: argparse.Namespace) -> None:
    """Convert and say what came out."""
    from ..recipe.cost import count_params
    from ..weights.conversion import convert_files

    sources = [name.strip() for name in args.sources.split(",") if name.strip()] if args.sources else None
    model, remarks = convert_files(args.files, args.out, sources, args.config)
    for remark in remarks:
        print(f"note: {remark}")
    names = getattr(model, "sources", None)
    what = ", ".join(names) if names else f"{getattr(model, 'n_src', '?')} sources"
    print(f"{args.out}: {type(model).__name__} for {what}, {count_params(model):,} parameters")
