"""``asteroid-bsrnn separate``: recordings in, stems out."""

import argparse
import json
import math
import os
import signal
import sys
import threading
from pathlib import Path

from ..common.errors import UserError
from ..common.memory import keep_freed_memory

_NOT_SEARCHED = frozenset(("__MACOSX", "@eaDir"))
_MOST_THREADS = 1024  # more of them than the system grants end the process without a word


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text):
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers with commas between") from None


def add_parser(subparsers):
    """Add ``separate`` and its options."""
    parser = subparsers.add_parser(
        "separate",
        help="separate recordings into stems",
        description="Separate recordings of any format, length, rate and number of channels. Stems have the rate, "
        "length, channels and level of the recording and go to DIR/<song>/<source>.wav.",
    )
    add = parser.add_argument
    add("songs", nargs="+", metavar="SONG", help="audio files, and folders that are searched for some")
    add("-o", "--out", default="separated", metavar="DIR", help="folder for the stems (default: %(default)s)")
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
    known = ("fp32", "bf16", "fp16", "auto")
    what = "of the network; auto: bf16 where fast (default: auto on a CUDA device, else fp32)"
    add("--precision", choices=known, default=None, help=what)
    add("--threads", type=int, help="on the CPU (default: the cores this process may use, or OMP_NUM_THREADS)")
    add("--batch", type=int, help="segments per pass (default: 8 on a CUDA device, fewer if they do not fit; else 1)")
    add("--shifts", type=int, default=1, metavar="N", help="average over N delays, N times slower (default: 1)")
    schemes = ("fader", "fader_reference", "ola", "ola_reference", "whole")
    add("--scheme", choices=schemes, default="fader", help="how segments are joined (default: %(default)s)")
    add("--segment", type=float, default=10.0, metavar="S", help="length of a segment in seconds (default: 10)")
    add("--overlap", type=float, default=0.1, help="of segments, as a fraction (default: 0.1)")
    add(
        "--hop",
        type=float,
        metavar="S",
        help="from segment to segment in seconds, instead of --overlap (ola and ola_reference)",
    )
    add("--window", default="rect", help="rect, hann, ... (ola only)")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace stems that exist")
    existing.add_argument("--skip-existing", action="store_true", help="leave songs out whose stems all exist")
    add("--tolerant", action="store_true", help="decode damaged stretches as players do, and name them")
    add("--json", action="store_true", help="print one JSON object, and nothing else, on the standard output")
    parser.set_defaults(run=run)


def find_songs(given, out):
    """The audio files that were named, and those in the folders that were named, in order, each once.

    Left out in folders: hidden files, what macOS and storage servers keep beside files, and the folder for the stems.

    Raises:
        UserError: for a folder without audio.
    """
    songs = {}
    for path in map(Path, given):
        found = sorted(_audio_in(path, Path(out))) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} is a folder without audio files")
        for file in found:
            songs.setdefault(file.resolve(), file)
    return list(songs.values())


def _audio_in(folder, out):
    from ..audio.read import SUFFIXES

    out, inside = out.resolve(), folder.resolve()
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _NOT_SEARCHED for part in parts)
        if hidden or file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        if out == inside or out in inside.parents or not file.resolve().is_relative_to(out):
            yield file


def without_stems(songs, given, out, sources):
    """The songs without those that are the stems of another one, from a run whose stems lie among the songs.

    Raises:
        UserError: for two files whose stems would go to one folder.
    """
    from ..separation.recordings import song_name, stem_paths

    stems = {
        target.resolve().with_suffix("") for song in songs for target in stem_paths(song, out, sources, True).values()
    }
    named = {Path(path).resolve() for path in given}
    folders = {}
    for song in songs:
        if song.resolve() in named or song.resolve().with_suffix("") not in stems:
            same = folders.setdefault(song_name(song), song)
            if same is not song:
                raise UserError(
                    f"{same} and {song} would both go to the folder {song_name(song)!r}: rename one of them"
                )
    return list(folders.values())


def use_threads(wanted=None):
    """Run on so many CPU threads: by default OMP_NUM_THREADS, else the cores that this process may use."""
    import torch

    if wanted is not None and wanted < 1:
        raise UserError(f"--threads must be at least 1, not {wanted}")
    if wanted is not None and wanted > _MOST_THREADS:
        raise UserError(f"--threads must be at most {_MOST_THREADS}, not {wanted}")
    if wanted is None and (not os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads() > _MOST_THREADS):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        wanted = max(1, min(torch.get_num_threads(), cores, _quota()))
    if wanted is not None:
        torch.set_num_threads(wanted)


def _quota():
    """Cores that a container grants; more threads than that wait for each other."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return math.inf


def _check_folder(folder):
    """The folder for the stems can be made and written to."""
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not nearest.is_dir():
        raise UserError(f"stems cannot go to {folder}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"stems cannot go to {folder}: no permission to write in {nearest}")


def run(args):
    """Separate every song.

    Returns:
        int: 0, or 1 when some songs failed.
    """
    from ..audio.write import check_format
    from ..separation.recordings import Separator, check_stems, stem_paths
    from ..separation.segments import make_plan
    from ..weights import load_model
    from ..weights.conversion import one_each

    inference = {name: getattr(args, name) for name in ("scheme", "segment", "overlap", "hop", "window")}
    make_plan(44100, **inference)
    check_format(args.format, args.bits)
    if args.batch is not None and args.batch < 1:
        raise UserError(f"--batch must be at least 1, not {args.batch}")
    songs = find_songs(args.songs, args.out)
    _check_folder(Path(args.out))
    end_cleanly()
    use_threads(args.threads)
    keep_freed_memory()
    needed = None if args.consistent else args.sources
    pairs = zip(args.model, one_each(args.config, args.model))
    models = [load_model(model, config) if config else model for model, config in pairs]
    separator = Separator(models, args.weights, args.device, args.precision, args.shifts, needed)
    wanted = check_stems(separator, args.sources, args.complement, args.consistent, args.format)
    songs = without_stems(songs, args.songs, args.out, separator.sources)
    targets = {song: stem_paths(song, args.out, wanted, args.complement, args.format).values() for song in songs}
    if not (args.overwrite or args.skip_existing):
        for target in (target for paths in targets.values() for target in paths if target.exists()):
            raise UserError(f"{target} exists: choose --overwrite or --skip-existing")
    results = []
    for song in songs:
        if args.skip_existing and all(target.is_file() for target in targets[song]):
            results.append({"file": str(song), "status": "skipped"})
        else:
            results.append(_separate(separator, song, args, inference))
        _report(results[-1], sys.stderr if args.json else sys.stdout)
    if args.json:
        print(_as_json({"model": args.model, "sources": wanted, "files": results}))
    return int(any(result["status"] == "failed" for result in results))


def end_cleanly():
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does: what was begun is cleared away. A second one is too late."""

    def end(number, frame):
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup ignores SIGHUP
                signal.signal(number, end)


def _as_json(value):
    """JSON that the standard output can hold: with letters where it has them, else with their numbers."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=2)
    return text


def _separate(separator, song, args, inference):
    """Separate one song; a failure becomes part of the result."""
    from tqdm import tqdm

    from ..separation.recordings import separate_file

    names = ("sources", "complement", "consistent", "bits", "offset", "duration", "batch", "tolerant")
    options = {name: getattr(args, name) for name in names}
    # disable=None: no bar where nobody watches
    look = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left"
    with tqdm(total=1.0, desc=song.name, disable=None, bar_format=look) as bar:

        def progress(done, total):
            bar.update(done / total - bar.n)

        try:
            done = separate_file(separator, song, args.out, fmt=args.format, progress=progress, **options, **inference)
        except Exception as error:  # whatever befell one file, the others go on
            if os.environ.get("ASTEROID_BSRNN_DEBUG"):
                raise
            return {"file": str(song), "status": "failed", "error": _sentence(error)}
    return {**done, "status": "done"}


def _sentence(error):
    text = str(error).strip()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "not enough memory: choose a smaller --batch or --segment"
    if isinstance(error, (ValueError, OSError)):
        return text
    return f"{type(error).__name__}: {(text or 'no reason given').splitlines()[0]}"


def _report(result, stream):
    try:
        for line, where in _lines(result, stream):
            print(line, file=where)
    except OSError:  # nobody reads any more; the songs go on
        pass


def _lines(result, stream):
    """What is told of a song, and where."""
    for remark in result.get("remarks", ()):
        yield f"note: {result['file']}: {remark}", sys.stderr
    if result["status"] == "failed":
        yield f"error: {result['error']}", sys.stderr
    elif result["status"] == "skipped":
        yield f"{result['file']}: skipped, its stems exist", stream
    else:
        folder = Path(next(iter(result["stems"].values()))).parent
        speed = f"{result['seconds']:.1f} s, {1 / max(result['rtf'], 1e-9):.1f} times real time"
        yield f"{result['file']}: {', '.join(result['stems'])} in {folder} ({speed})", stream
        if result["gain"] != 1:
            level = f"{20 * math.log10(result['gain']):.2f} dB"
            yield f"{result['file']}: all stems have a gain of {level}, because one would clip", stream
