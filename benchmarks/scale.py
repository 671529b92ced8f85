"""A million recordings without one: planning, sharding and resuming of a list with given durations; files in and out.

What else docs/scale.md computes with is measured elsewhere: seconds of a processor per second of audio by ``table1``
and ``songs``.
"""

import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch

from asteroid_bsrnn.audio.read import AudioReader
from asteroid_bsrnn.audio.write import AudioWriter
from asteroid_bsrnn.separation.many.entries import Entry, read_list
from asteroid_bsrnn.separation.many.identities import named
from asteroid_bsrnn.separation.many.journal import Records, merge
from asteroid_bsrnn.separation.many.work_plan import durations, shard

from .record import Block

N_ENTRIES, N_SHARDS, DONE = 1_000_000, 200, 0.7
_MEDIAN_SECONDS, _SPREAD = 210.0, 0.5  # of the durations, log-normal: songs
_RATE = 44100
_FORMATS = (("wav", 32), ("wav", 16), ("flac", 24), ("flac", 16), ("mp3", None))


def write_list(path: Path, n_entries: int) -> None:
    """A list of recordings that do not exist, in folders of a thousand, with durations."""
    draw = random.Random(0)
    with open(path, "w", encoding="ascii") as file:
        for number in range(n_entries):
            seconds = round(draw.lognormvariate(0, _SPREAD) * _MEDIAN_SECONDS, 2)
            where = f"/archive/{number // 1000:04d}/{number:07d}.flac"
            file.write(json.dumps({"path": where, "duration": seconds}) + "\n")


def simulate(folder: Path, n_entries: int = N_ENTRIES, n_shards: int = N_SHARDS) -> dict[str, float]:
    """Do all that a task does with a list besides separating; the seconds of processor time of each step.

    ``imbalance`` is the largest shard over the mean, less one; ``left`` is what a resumed run finds undone.
    """
    took: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        took[name] = time.process_time() - begun

    write_list(folder / "list.jsonl", n_entries)
    with step("list"):
        entries, _ = named(read_list(folder / "list.jsonl"))
    with step("plan"):
        plan = durations(entries, folder)
    with step("shard"):
        mine = shard(plan, 1, n_shards)
    with step("records"):
        _finish(folder, entries, round(DONE * n_entries))
    with step("resume"):
        again = durations(entries, folder)
        records = Records(folder, n_entries)
        records.read({entries[index].key() for index in mine})
        took["left"] = sum(records.status.get(entries[index].key()) != "done" for index in mine)
    with step("merge"):
        merge(folder, folder / "records.jsonl")
    assert again == plan
    took["imbalance"] = sum(plan[index] for index in mine) / (sum(plan) / n_shards) - 1
    return took


def _finish(folder: Path, entries: list[Entry], n_done: int) -> None:
    """Records as a run leaves them, written in one go: how fast files are appended to is no question of size."""
    records = Records(folder, len(entries))
    told = {"status": "done", "duration": 210.0, "seconds": 30.1, "gain": 1.0, "remarks": [], "error": None}
    told |= {"device": "cuda:0", "model": "0123456789abcdef", "host": "node17", "time": "2026-01-01T00:00:00Z"}
    with ExitStack() as stack:
        files: dict[Path, IO[str]] = {}
        for entry in entries[:n_done]:
            path = records._path(entry.key())
            if path not in files:
                files[path] = stack.enter_context(open(path, "w", encoding="ascii"))
            record = {"id": entry.id, "file": entry.path, **told, "key": entry.key()}
            files[path].write(json.dumps(record) + "\n")


def _simulate_apart(pipe, n_entries: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        took = simulate(Path(folder), n_entries)
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send({**took, "peak": peak * scale, "idle": before * scale})


def simulate_apart(n_entries: int) -> dict[str, float]:
    """:func:`simulate` in a process of its own, with ``peak``, its memory in bytes, and ``idle``, that before."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_simulate_apart, args=(there, n_entries))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def file_costs(folder: Path, seconds: float) -> list[tuple[str, float, float, float]]:
    """(format, GB per hour, processor seconds per hour of writing, of reading) of one stereo stem at 44.1 kHz.

    The stem is noise under a slow envelope with a spectrum that falls by 6 dB per octave, which FLAC packs about as
    music is packed.
    """
    draw = np.random.default_rng(0)
    n = round(seconds * _RATE)
    walk = np.cumsum(draw.standard_normal((2, n)), axis=1)
    walk -= np.apply_along_axis(lambda row: np.convolve(row, np.ones(4410) / 4410, "same"), 1, walk)
    wav = torch.from_numpy((0.2 * walk / walk.std() * (0.6 + 0.4 * np.sin(np.arange(n) / _RATE))).astype("f4"))
    wav = wav.clamp(-0.99, 0.99)
    rows = []
    for fmt, bits in _FORMATS:
        path = folder / f"stem{bits}.{fmt}"
        wrote = _processor_seconds(lambda path=path, bits=bits: _write(path, wav, bits))
        read = _processor_seconds(lambda path=path: [None for _ in AudioReader(path)])
        hours = seconds / 3600
        rows.append(
            (f"{fmt}, {bits} bits" if bits else fmt, path.stat().st_size / 1e9 / hours, wrote / hours, read / hours)
        )
    return rows


def _write(path: Path, wav: torch.Tensor, bits: int | None) -> None:
    integer = bits in (16, 24)
    with AudioWriter(path, _RATE, 2, bits=bits) as writer:
        for part in wav.split(1 << 18, dim=1):
            writer.write(torch.round(part * 2 ** (bits - 1)).int() if integer else part)


def _processor_seconds(task: Callable[[], object]) -> float:
    """Of this process and of its children (ffmpeg)."""
    begun = _used()
    task()
    return _used() - begun


def _used() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(settings) -> Block:
    """The block of scale."""
    n_entries = 2000 if settings.quick else N_ENTRIES
    block, found = Block("Scale"), simulate_apart(n_entries)
    block.text(
        f"A list of {n_entries:,} recordings with given durations, which do not exist; {N_SHARDS} tasks, {DONE:.0%} done. "
        "Processor time of one task for all that is not separation."
    )
    steps = ("list", "plan", "shard", "resume", "merge")
    block.table(("step", "s"), [(name, f"{found[name]:.1f}") for name in steps])
    total = sum(found[name] for name in steps)
    block.text(
        f"Together {total:.0f} s (wanted: under 60). Largest memory {found['peak'] / 1e6:.0f} MB, of which {found['idle'] / 1e6:.0f} MB before the list is read (wanted: under 1000). The "
        f"first shard is {1e6 * found['imbalance']:.2f} millionths longer than the mean."
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = file_costs(Path(folder), 5.0 if settings.quick else 120.0)
    block.text(
        "Files of one stereo stem at 44.1 kHz: size, and processor time of writing and reading, per hour of audio."
    )
    block.table(
        ("format", "GB", "s to write", "s to read"), [(n, f"{g:.3f}", f"{w:.1f}", f"{r:.1f}") for n, g, w, r in rows]
    )
    return block
