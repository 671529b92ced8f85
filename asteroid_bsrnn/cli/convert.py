"""``asteroid-bsrnn convert``: other implementations' checkpoints to model files of this package."""


def add_parser(subparsers):
    """Add this command to the console command."""
    parser = subparsers.add_parser("convert", help="other implementations' checkpoints to model files of this package")
    parser.add_argument("files", nargs="+", metavar="IN", help="checkpoints of the authors' BSRNN")
    parser.add_argument("out", metavar="OUT.pth", help="model file to write")
    parser.add_argument("--sources", help="names of the sources, separated by commas, in the order of the files")
    parser.set_defaults(run=run)


def run(args):
    """Convert and say what came out.

    Returns:
        int: 0.
    """
    from ..weights.conversion import convert_files
    from ..recipe.cost import count_params

    sources = [name.strip() for name in args.sources.split(",") if name.strip()] if args.sources else None
    model, remarks = convert_files(args.files, args.out, sources)
    for remark in remarks:
        print(f"note: {remark}")
    print(f"{args.out}: {type(model).__name__} for {', '.join(model.sources)}, {count_params(model):,} parameters")
    return 0
