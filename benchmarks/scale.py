"""A million recordings without one: planning, sharding and resuming of a list with given durations; files in and out.

And the arithmetic of docs/scale.md: what an archive costs in processors, GPUs, energy and bytes.
"""

import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch

from asteroid_bsrnn.audio.read import AudioReader
from asteroid_bsrnn.audio.write import AudioWriter
from asteroid_bsrnn.separation import Separator
from asteroid_bsrnn.separation.many.claims import Claim
from asteroid_bsrnn.separation.many.entries import Entry, read_list
from asteroid_bsrnn.separation.many.identities import named
from asteroid_bsrnn.separation.many.journal import Records, merge
from asteroid_bsrnn.separation.many.sharing import Sharing
from asteroid_bsrnn.separation.many.work_plan import durations, shard
from asteroid_bsrnn.separation.request import Request

from .contest import peak_bytes
from .pipeline import Identity
from .record import Block

#: model -> (GMAC per second of stereo, all sources; seconds of one thread of an AMD EPYC per second), docs/music_models.md and,
#: for the base model's four networks, four times what ``songs`` gives for one of them (0.64 on two threads)
MODELS = {
    "hdemucs": (10.4, 0.27),
    "scnet": (18.5, 0.29),
    "htdemucs": (21.5, 0.39),
    "presunet": (68.7, 0.91),
    "tfc_tdf_v3": (55.4, 0.94),
    "scnet_large": (106.9, 1.36),
    "dttnet": (141.4, 2.07),
    "BSRNN base": (4 * 24.9, 4 * 2 * 0.64),
    "bs_roformer": (646.3, 13.8),
}
ARCHIVE_HOURS, DAYS = 100_000, 30
CORE_WATTS, H100_WATTS = 6.0, 1000.0  # assumed: a core's share of a server; a GPU (700 W) and its share of one
H100_TFLOPS = 989.0  # bf16, dense, data sheet
SHARES = (0.03, 0.10)  # of it, assumed: small kernels and recurrent layers; large products

N_ENTRIES, N_SHARDS, DONE = 1_000_000, 200, 0.7
_MEDIAN_SECONDS, _SPREAD = 210.0, 0.5  # of the durations, log-normal: songs
_RATE = 44100
_FORMATS = (("wav", 32), ("wav", 16), ("flac", 24), ("flac", 16), ("mp3", None))


class Cost(NamedTuple):
    """What a model costs; the figures of the H100 are (for the larger share of its peak, for the smaller one).

    Attributes:
        core_hours: of one core per hour of audio.
        kwh: of the processor per hour of audio.
        cores: that do the archive in the time that is given.
        h100_speed: seconds of audio per second.
        h100_kwh: per hour of audio.
        h100s: that do the archive in the time that is given.
    """

    core_hours: float
    kwh: float
    cores: float
    h100_speed: tuple[float, float]
    h100_kwh: tuple[float, float]
    h100s: tuple[float, float]


def cost(gmac: float, core_seconds: float) -> Cost:
    """Cost of a model.

    Args:
        gmac: multiply-adds per second of audio, in thousand millions.
        core_seconds: of one core per second of audio.
    """
    at_once = ARCHIVE_HOURS / (24 * DAYS)
    speeds = tuple(1e3 * H100_TFLOPS * share / (2 * gmac) for share in reversed(SHARES))
    energy, count = tuple(H100_WATTS / 1e3 / speed for speed in speeds), tuple(at_once / speed for speed in speeds)
    return Cost(core_seconds, CORE_WATTS / 1e3 * core_seconds, at_once * core_seconds, speeds, energy, count)


def cost_rows() -> list[tuple[str, ...]]:
    """The table of costs, a row per model."""
    rows = []
    for name, (gmac, seconds) in MODELS.items():
        c = cost(gmac, seconds)
        own = (f"{gmac:.1f}", f"{c.core_hours:.2f}", f"{1e3 * c.kwh:.1f}", f"{c.cores:,.0f}")
        pairs = ((c.h100_speed, "{:,.0f}", 1), (c.h100_kwh, "{:.2g}", 1e3), (c.h100s, "{:.2g}", 1))
        h100 = (" - ".join(form.format(factor * value) for value in pair) for pair, form, factor in pairs)
        rows.append((name, *own, *h100))
    return rows


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
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        took = simulate(Path(folder), n_entries)
    pipe.send({**took, "peak": peak_bytes(), "idle": before})


def simulate_apart(n_entries: int) -> dict[str, float]:
    """:func:`simulate` in a process of its own, with ``peak``, its memory in bytes, and ``idle``, that before."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_simulate_apart, args=(there, n_entries))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def sharing_cost(n_entries: int) -> float:
    """Seconds of processor time per recording for what keeps processes out of each other's way."""
    model = Identity()
    separator = Separator(model, device="cpu")
    entries = [Entry(f"{number:07d}", f"/archive/{number}.flac") for number in range(n_entries)]
    with tempfile.TemporaryDirectory() as folder:
        with Sharing(Path(folder), separator, Request(separator.sources), n_entries) as sharing:
            sharing.begin(entries)
            begun = _used()
            for entry in entries:
                claim = sharing.take(entry, lambda: False)
                assert isinstance(claim, Claim)
                sharing.settle(entry, claim, {"status": "done"})
            return (_used() - begun) / n_entries


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
    shared = 1e3 * sharing_cost(200 if settings.quick else 2000)
    block.text(f"Claim, record and release of one recording, on a local disk: {shared:.2f} ms of processor time.")
    block.text(
        "Files of one stereo stem at 44.1 kHz: size, and processor time of writing and reading, per hour of audio."
    )
    block.table(
        ("format", "GB", "s to write", "s to read"), [(n, f"{g:.3f}", f"{w:.1f}", f"{r:.1f}") for n, g, w, r in rows]
    )
    block.text(
        f"Cost per hour of stereo audio, all sources, and for {ARCHIVE_HOURS:,} hours in {DAYS} days. Processor: measured, one thread of an AMD "
        f"EPYC; {CORE_WATTS:g} W for a core are assumed. H100: estimated, nothing was measured on one: {SHARES[1]:.0%} - {SHARES[0]:.0%} of "
        f"its {H100_TFLOPS:g} TFLOP/s in bf16, {H100_WATTS:g} W with its share of the server."
    )
    head = (
        "model",
        "GMAC/s",
        "core hours",
        "Wh, processor",
        f"cores for {DAYS} days",
        "H100, times real time",
        "H100, Wh",
        "H100s",
    )
    block.table(head, cost_rows())
    return block
