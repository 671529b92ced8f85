"""``asteroid-bsrnn evaluate EST_DIR --references DIR``: scores of any folder of stems or of separated speech."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .slurm_options import add_slurm_options, queue_shards

if TYPE_CHECKING:
    from ..experiment.evaluation import Evaluation

DESCRIPTION = """Scores of separated recordings, ours or another tool's.
Music: EST_DIR/<track>/<source>.wav against DIR/<track>/<source>.wav (or DIR/test/<track>/...).
Speech (--speech): EST_DIR/s1, EST_DIR/s2, ... or several such folders in EST_DIR, against DIR/s1, DIR/s2, ...,
scores with their gains over the mixture; --scores stoi estoi pesq adds these.
Exit code 1 when something that was expected is missing or could not be scored."""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="scores of any folder of stems",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("est_dir", metavar="EST_DIR", help="folder of estimates")
    parser.add_argument("--references", metavar="DIR", required=True, help="folder of references")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="folder for the results (default: EST_DIR_scores beside it)"
    )
    parser.add_argument(
        "--sources", metavar="NAME", nargs="+", help="stems to score (default: those of the references)"
    )
    parser.add_argument(
        "--median", choices=("numpy", "lower"), help="median over an even number of frames (default: numpy)"
    )
    parser.add_argument("--speech", action="store_true", help="separated speech instead of stems")
    parser.add_argument("--scores", nargs="+", metavar="NAME", help="with --speech: also stoi, estoi, pesq")
    parser.add_argument("--mixtures", metavar="DIR", help="with --speech: mixtures (default: mix or mix_clean by DIR)")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="recordings at the same time (default: one per core, up to 4)"
    )
    parser.add_argument("--shard", metavar="I/N", help="score every N-th recording, from the I-th on; writes no tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    add_slurm_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print a table and what was missing.

    Returns:
        int: 0, or 1 when something is missing or could not be scored.
    """
    from ..common.errors import UserError
    from ..evaluation import evaluate_folder, evaluate_speech_folder, report_lines
    from ..separation.many.work_plan import parse_shard

    for option in ("sources", "median") if args.speech else ("mixtures", "scores"):
        if getattr(args, option) is not None:
            raise UserError(f"--{option} has no meaning {'with' if args.speech else 'without'} --speech")
    est_dir = Path(args.est_dir)
    output = Path(args.output) if args.output else est_dir.resolve().with_name(est_dir.resolve().name + "_scores")
    if args.slurm is not None:
        return queue_shards(args, output / "slurm_logs")
    shard = None if args.shard is None else parse_shard(args.shard)
    common = {"jobs": args.jobs, "progress": not args.quiet, "shard": shard}
    if args.speech:
        results = evaluate_speech_folder(
            est_dir, args.references, output, mixtures_dir=args.mixtures, extra=args.scores or (), **common
        )
    else:
        rule = args.median or "numpy"
        result = evaluate_folder(est_dir, args.references, output, sources=args.sources, median_rule=rule, **common)
        results = {"": result}
    if shard is not None:
        return _shard_told(args.shard, results)
    table = _speech_table(results, args.scores or ()) if args.speech else _music_table(results[""])
    widths = [max(14, *(len(row[place]) for row in table)) for place in range(len(table[0]))]
    widths[0] = max(24, widths[0])
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    recordings = max(result.n_tracks or 0 for result in results.values())
    print(f"in dB where no other unit is named, over {recordings} recordings; files are in {output}")
    for name, result in results.items():
        for line in report_lines(result):
            print(f"{name + ': ' if name else ''}{line}", file=sys.stderr)
    return int(any(result.missing or result.problems for result in results.values()))


def _speech_table(results: "Mapping[str, Evaluation]", extra: Sequence[str]) -> list[list[str]]:
    """A row for each system: scores and gains; of optional scores, whose gains are in the files, the scores alone."""
    from ..metrics import with_extra

    heads: list[str] = []
    columns: list[str] = []
    for metric in with_extra(extra):
        heads += [metric.heading] if metric.optional else [metric.heading, metric.gain_heading]
        columns += metric.columns[1:2] if metric.optional else metric.columns[1:]
    rows = [[name, *_numbers(result.final, *columns), str(result.n_tracks)] for name, result in results.items()]
    return [["system", *heads, "n"], *rows]


def _music_table(result: "Evaluation") -> list[list[str]]:
    """A row for each source, with the scores of its mixture, and one for their means."""
    from ..metrics import of_task

    metrics = of_task("music")
    names = [f"{prefix}{metric.name}" for prefix in ("", "input_") for metric in metrics]
    heads = [metric.heading for metric in metrics]
    rows = [[each, *_numbers(result.final, *(f"{name}_{each}" for name in names))] for each in result.sources]
    means = ["mean", *_numbers(result.final, *(metric.name for metric in metrics)), *("" for _ in metrics)]
    return [["source", *heads, *(f"mixture's {head}" for head in heads)], *rows, means]


def _shard_told(shard: str, results: "Mapping[str, Evaluation]") -> int:
    """What one task of several did; 1 when something could not be scored."""
    problems = [problem for result in results.values() for problem in result.problems.items()]
    for name, reason in problems:
        print(f"{name}: {reason}", file=sys.stderr)
    scored = sum(result.n_tracks or 0 for result in results.values())
    print(f"shard {shard}: {scored} recordings scored; the same command without --shard writes the tables")
    return int(bool(problems))


def _numbers(final: Mapping[str, float], *names: str) -> list[str]:
    return [f"{final[name]:.2f}" for name in names]
