"""``asteroid-bsrnn export``: a model as an ONNX file."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``export`` to the console command."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as an ONNX file, for runtimes without PyTorch",
        description="Write a model as an ONNX file and compare it with PyTorch. Which models have such a form, and what "
        "goes in and out, is listed in docs/export.md.",
    )
    parser.add_argument("model", metavar="MODEL", help="file, hub id or name of a model")
    parser.add_argument("out", metavar="OUT", help="file to write, .onnx")
    parser.add_argument(
        "--seconds", type=float, help="a graph for this length alone (default: any length, if it can be)"
    )


def run(args: argparse.Namespace) -> None:
    """Export and say what came out."""
    from ..common.errors import UserError
    from ..publishing.onnx_export import OPSET, export_onnx
    from ..weights import load_model

    if args.seconds is not None and not 0 < args.seconds < 3600:
        raise UserError(f"--seconds is more than 0 and less than 3600, not {args.seconds:g}")
    model = load_model(args.model)
    made = export_onnx(model, args.out, args.seconds)
    length = "any length" if made.length is None else f"{made.length} samples"
    print(f"{args.out}: {type(model).__name__}, {made.layout} of {length} in, opset {OPSET}")
    print(f"largest difference from PyTorch: {made.error:.1e} of the largest value")
