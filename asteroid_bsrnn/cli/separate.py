"""``asteroid-bsrnn separate``: recordings in, stems out."""

import argparse
from typing import Any

from .slurm_options import add_slurm_options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers with commas between") from None


def add_parser(subparsers: Any) -> None:
    """Add ``separate`` and its options."""
    parser = subparsers.add_parser(
        "separate",
        help="separate recordings into stems",
        description="Separate recordings of any format, length, rate and number of channels. Stems have the rate, "
        "length, channels and level of the recording and go to DIR/<song>/<source>.wav. A list or a shard can be worked on by "
        "any number of processes at once: claims and records lie in DIR.work.",
    )
    add = parser.add_argument
    add(
        "songs",
        nargs="*",
        metavar="SONG",
        help="audio files, folders that are searched for some, addresses (https://, s3://, ...)",
    )
    add(
        "--list",
        metavar="FILE",
        help="names more: a path a line, or JSON with path and, if wanted, id, offset, duration",
    )
    add("--keep-tree", action="store_true", help="stems lie in folders as the recordings do (default: DIR/<song>)")
    add("--out-pattern", metavar="P", help="names of stems in DIR, with {id} and {source} (default: {id}/{source})")
    add(
        "--shard",
        metavar="I/N",
        help="do one of N equal shares, I from 1 (default with --list: SLURM's array, else all)",
    )
    add(
        "-o", "--out", default="separated", metavar="DIR", help="folder or address for the stems (default: %(default)s)"
    )
    add("--model", action="append", required=True, help="name, file, folder, address or hub id; several are averaged")
    add("--config", action="append", default=[], metavar="YAML", help="configuration that lay beside a foreign --model")
    add("--weights", type=_numbers, metavar="W,W", help="of the models in the average (default: equal)")
    add("--sources", type=_names, metavar="S,S", help="write only these (default: all that the model has)")
    add("--complement", action="store_true", help="also write no_<source>: the mixture less the stem")
    add("--consistent", action="store_true", help="make the stems sum to the mixture, to the last bit of the format")
    add("--offset", type=float, default=0.0, metavar="S", help="start here, in seconds (default: 0)")
    add("--duration", type=float, metavar="S", help="separate only so many seconds (default: to the end)")
    add("--format", choices=("wav", "flac", "mp3"), default="wav", help="of the stems (default: %(default)s)")
    add("--bits", type=int, choices=(16, 24, 32), help="per sample; 32 is float (default: 32 for wav, 24 for flac)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: a GPU if there is one)")
    add("--devices", metavar="D", help="a process on each: cuda:0,1 or cpu:4; auto: all GPUs, else what is fastest")
    add(
        "--ray",
        action="store_true",
        help="on a Ray cluster (RAY_ADDRESS), else on a Ray of this machine: one worker per GPU",
    )
    add(
        "--precision",
        choices=("fp32", "bf16", "fp16", "auto"),
        help="of the network; auto: bf16 where fast (default: auto on a CUDA device, else fp32)",
    )
    add("--threads", type=int, help="on the CPU (default: the cores this process may use, or OMP_NUM_THREADS)")
    add(
        "--batch",
        type=int,
        help="segments per pass, of one recording or several (default: 8 on a CUDA device, fewer if they do not fit; else 1)",
    )
    add("--shifts", type=int, default=1, metavar="N", help="average over N delays, N times slower (default: 1)")
    add(
        "--scheme",
        choices=("fader", "fader_reference", "ola", "ola_reference", "trim", "whole"),
        help="how segments are joined (default: as a published model's scores were, else fader)",
    )
    add("--segment", type=float, metavar="S", help="length of a segment in seconds (default: likewise, else 10)")
    add("--overlap", type=float, help="of segments, as a fraction (default: likewise, else 0.1)")
    add(
        "--hop",
        type=float,
        metavar="S",
        help="from segment to segment in seconds, instead of --overlap (ola and ola_reference)",
    )
    add("--window", help="rect, tenths, hann, ... (ola only)")
    add(
        "--standardise",
        action=argparse.BooleanOptionalAction,
        help="level the whole recording before the network and undo it after (default: as its publishers do)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace stems that exist")
    existing.add_argument("--skip-existing", action="store_true", help="leave songs out whose stems all exist")
    add("--tolerant", action="store_true", help="decode damaged stretches as players do, and name them")
    add("--json", action="store_true", help="print one JSON object, and nothing else, on the standard output")
    add_slurm_options(parser)


def run(args: argparse.Namespace) -> int:
    """Separate every song.

    Returns:
        int: 0, or 1 when some songs failed.
    """
    from .separate_run import separate_all

    return separate_all(args)
