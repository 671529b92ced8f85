"""What ``asteroid-bsrnn separate`` does: from its arguments to recordings that are separated, here or elsewhere."""

import argparse
import functools
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from ..audio.write import check_format
from ..common.errors import UserError
from ..common.memory import keep_freed_memory
from ..common.surroundings import usable_cores
from ..separation.addresses import is_address
from ..separation.device_pool import Tell, Work, parse_devices, separate_on_devices
from ..separation.many.entries import DEFAULT_PATTERN, Entry, Line, check_pattern, read_list
from ..separation.many.identities import named
from ..separation.many.journal import Summary, SummedUp
from ..separation.many.pipeline import separate_many
from ..separation.many.places import LocalPlaces, places_at
from ..separation.many.search import find_songs, named_songs
from ..separation.many.sharing import Sharing, work_folder
from ..separation.many.work_plan import durations, parse_shard, shard, slurm_shard
from ..separation.on_ray import separate_on_ray, start_ray
from ..separation.plans import make_plan
from ..separation.processor_split import auto_devices
from ..separation.recordings import Separator, check_stems, stem_names
from ..separation.request import Request
from ..weights import load_model
from ..weights.conversion import one_each
from .separate_told import as_json, report, say
from .slurm_options import queue_shards

_MOST_THREADS = 1024  # more of them than the system grants end the process without a word


def use_threads(wanted: int | None = None) -> None:
    """Run on so many CPU threads: by default OMP_NUM_THREADS, else the cores that this process may use."""
    if wanted is not None and wanted < 1:
        raise UserError(f"--threads must be at least 1, not {wanted}")
    if wanted is not None and wanted > _MOST_THREADS:
        raise UserError(f"--threads must be at most {_MOST_THREADS}, not {wanted}")
    if wanted is None and (not os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads() > _MOST_THREADS):
        wanted = int(max(1, min(torch.get_num_threads(), usable_cores(), _quota())))
    if wanted is not None:
        torch.set_num_threads(wanted)


def _quota() -> float:
    """Cores that a container grants; more threads than that wait for each other."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return math.inf


def _check_folder(folder: Path) -> None:
    """The folder for the stems can be made and written to."""
    nearest = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not nearest.is_dir():
        raise UserError(f"stems cannot go to {folder}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"stems cannot go to {folder}: no permission to write in {nearest}")


def separate_all(args: argparse.Namespace) -> int:
    """Separate every song.

    Returns:
        int: 0, or 1 when some songs failed.
    """
    asked = {name: getattr(args, name) for name in ("scheme", "segment", "overlap", "hop", "window")}
    inference = {name: value for name, value in asked.items() if value is not None}
    make_plan(44100, **inference)
    inference["standardise"] = args.standardise
    check_format(args.format, args.bits)
    if args.batch is not None and args.batch < 1:
        raise UserError(f"--batch must be at least 1, not {args.batch}")
    find = _recordings(args)
    places = places_at(args.out, args.format, check_pattern(args.out_pattern or DEFAULT_PATTERN))
    _check_folder(work_folder(args.out) if is_address(places.out) else Path(places.out))
    if args.slurm is not None:
        return _queue(args, find, places)
    elsewhere = args.devices is not None or args.ray
    separator = build(args, "cpu" if elsewhere else args.device, precision="fp32" if elsewhere else None)
    wanted = check_stems(separator, args.sources, args.complement, args.consistent, args.format)
    how = (args.complement, args.consistent, args.format, args.bits, args.batch or separator.usual_batch, args.tolerant)
    standardise, plan = separator.how(**inference)
    request = Request(tuple(wanted), *how, plan, standardise)
    return _separate(args, separator, find(separator, places), places, request)


def build(args: argparse.Namespace, device: str, threads: int | None = None, precision: str | None = None) -> Separator:
    """What separates, in a process that is made ready for it."""
    end_cleanly()
    use_threads(args.threads if threads is None else threads)
    keep_freed_memory()
    needed = None if args.consistent else args.sources
    pairs = zip(args.model, one_each(args.config, args.model))
    models = [load_model(model, config) if config else model for model, config in pairs]
    return Separator(models, args.weights, device, precision or args.precision, args.shifts, needed)


def _queue(args: argparse.Namespace, find: Callable[..., list[Entry]], places: LocalPlaces) -> int:
    """Queue an array of shards, which share claims and records, and a job that sums up."""
    if args.overwrite:
        raise UserError("--slurm continues what was begun: choose another folder instead of --overwrite")
    if args.shard:
        raise UserError("--slurm makes the shards: leave --shard out")
    work = work_folder(args.out)
    if args.list:  # here, not in the first task, for which all others would wait
        durations(find(None, places), work)
    return queue_shards(args, work / "slurm_logs", SummedUp(str(work)))


def end_cleanly() -> None:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does: what was begun is cleared away. A second one is too late."""

    def end(number: int, frame: FrameType | None) -> None:
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


def _recordings(args: argparse.Namespace) -> Callable[..., list[Entry]]:
    """What is to be separated, checked as far as that goes without a model; the rest when there is one."""
    if not args.songs and not args.list:
        raise UserError("nothing to separate: name recordings, folders or a --list")
    parse_shard(args.shard or "1/1")
    lines = read_list(args.list) if args.list else []
    if args.list and (args.offset or args.duration is not None):
        raise UserError("--offset and --duration are for recordings that are named; a list gives its own")
    songs = find_songs(args.songs, args.out) if args.songs else []

    def found(separator: Separator, places: LocalPlaces) -> list[Entry]:
        if args.list:
            entries, changed = named([*(Line(str(song)) for song in songs), *lines], args.keep_tree)
        else:
            stems = stem_names(separator.sources, True)
            entries, changed = named_songs(songs, args.songs, places, stems, args.keep_tree)
        if changed:
            some = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
            say(f"note: {len(changed)} names are shared by recordings and were made longer: {some}", sys.stderr)
        return entries

    return found


def _shard(args: argparse.Namespace, entries: list[Entry]) -> list[Entry]:
    """This task's share of the entries."""
    index, count = parse_shard(args.shard) if args.shard else (1, 1)
    if not args.shard and args.list:
        index, count = slurm_shard(os.environ) or (1, 1)
    if count == 1:
        return entries
    chosen = shard(durations(entries, work_folder(args.out)), index, count)
    say(f"shard {index} of {count}: {len(chosen)} of {len(entries)} recordings", sys.stderr)
    return [entries[number] for number in chosen]


def _engine(args: argparse.Namespace, separator: Separator) -> Callable[[Work, Tell], Summary] | None:
    """What runs elsewhere than in this process, if that is wanted; the separator gets the precision that is used there."""
    if args.devices is None and not args.ray:
        return None
    if args.devices is not None and args.ray:
        raise UserError("--ray has its own devices: leave --devices out")
    if args.device != "auto":
        raise UserError(f"--device {args.device} is for this process alone: leave it out with --devices and --ray")
    separator.precision = args.precision or "auto"  # of each device
    if args.ray:
        start_ray()
        return lambda work, tell: separate_on_ray(work, separator, tell, args.threads or 1)

    if args.devices != "auto":
        devices = parse_devices(args.devices, args.threads)
    else:
        devices = auto_devices(functools.partial(build, args), separator)
    print(
        f"on {', '.join(f'{d.name} ({d.threads} threads)' if d.threads else d.name for d in devices)}", file=sys.stderr
    )
    return lambda work, tell: separate_on_devices(devices, work, tell)


def _separate(
    args: argparse.Namespace, separator: Separator, entries: list[Entry], places: LocalPlaces, request: Any
) -> int:
    """Separate the recordings of this process and tell of each."""
    engine = _engine(args, separator)
    together = bool(args.list or args.shard or engine)
    n_entries, work = len(entries), work_folder(args.out)
    alone_here = together and engine is None
    sharing = Sharing(work, separator, request, n_entries, args.overwrite) if alone_here else None
    entries = _shard(args, entries)
    if not args.list:
        entries = [replace(entry, offset=args.offset, duration=args.duration) for entry in entries]
    if not (together or args.overwrite or args.skip_existing):
        names = stem_names(request.sources, request.complement)
        for existing in (path for entry in entries for path in places.exist(entry, names)):
            raise UserError(f"{existing} exists: choose --overwrite or --skip-existing")
    stream, results = sys.stderr if args.json else sys.stdout, {}
    alone = len(entries) == 1
    with ExitStack() as stack:
        stack.enter_context(sharing or nullcontext())
        # disable=None: no bar where nobody watches
        look = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left" if alone else None
        name = Path(entries[0].path).name if alone else "recordings"
        bar = stack.enter_context(tqdm(total=1.0 if alone else len(entries), desc=name, disable=None, bar_format=look))

        def watch(entry: Entry, done: int, total: int) -> None:
            bar.update(done / total - bar.n)

        def tell(entry: Entry, result: dict[str, Any]) -> None:
            if args.json:
                results[entry.id] = result
            report(result, stream)
            if not alone:
                bar.update()

        if engine is None:
            summary = separate_many(
                separator, entries, places, request, sharing, tell, watch if alone else None,
                args.skip_existing, args.overwrite, bool(os.environ.get("ASTEROID_BSRNN_DEBUG")),
            )  # fmt: skip
        else:
            make = functools.partial(build, args)
            given = (places, request, str(work), n_entries, args.skip_existing, args.overwrite)
            summary = engine(Work(make, entries, *given), tell)
    if len(entries) > 1 or together:
        say(str(summary), stream)
    if args.json:
        files = [results[entry.id] for entry in entries]
        print(as_json({"model": args.model, "sources": list(request.sources), "files": files}))
    return int(summary.failed > 0)
