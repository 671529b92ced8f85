"""Many recordings: files per minute through the pipeline, against `separate_file` on one after the other.

Both write the same bytes into folders that exist already, stems as 32-bit float wav and as flac; recordings are flac of
16 bits. The identity model shows what everything around the network costs, the tiny Band-Split RNN what is left to hide
behind one. Threads that wait do so as in the command. With claims and records, as a list has them, the pipeline also keeps other processes out.
"""

import hashlib
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch

from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.models.base import SeparationModel
from asteroid_bsrnn.separation import Separator, separate_file
from asteroid_bsrnn.separation.many.entries import Entry
from asteroid_bsrnn.separation.many.pipeline import separate_many
from asteroid_bsrnn.separation.many.places import LocalPlaces
from asteroid_bsrnn.separation.many.sharing import Sharing
from asteroid_bsrnn.separation.request import Request
from asteroid_bsrnn_cli import waits_shortly

from .contest import Spread, contest, speed_up
from .record import Block

RATE = 44100
WAYS = ("one after the other", "pipeline", "pipeline, claims and records")
LIMIT = "{cores} threads: what reads and writes takes the processor from the network"


class Identity(SeparationModel):
    """Two sources, each the mixture."""

    sources = ("one", "two")

    def __init__(self) -> None:
        super().__init__(RATE, 2)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """(batch, channels, time) -> (batch, 2, channels, time)"""
        return torch.stack([wav, wav], dim=1)


def make_model(name: str) -> torch.nn.Module:
    """The model of a contest."""
    torch.manual_seed(0)
    return Identity() if name == "identity" else BSRNN(sources=("one", "two"), feature_dim=8, n_repeats=1)


def write_recordings(folder: Path, count: int, seconds: float) -> list[str]:
    """So many recordings of stereo noise."""
    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        wav = np.random.default_rng(index).uniform(-0.5, 0.5, (round(seconds * RATE), 2))
        paths.append(str(folder / f"{index:03d}.flac"))
        soundfile.write(paths[-1], wav, RATE, subtype="PCM_16")
    return paths


def make_run(way: str, model: str, paths: list[str], out: str, fmt: str, device: str = "cpu"):
    """A function that separates all recordings."""
    separator = Separator(make_model(model), device=device)
    request = Request(separator.sources, fmt=fmt)
    entries = [Entry(Path(path).stem, path) for path in paths]

    def one_after_the_other() -> None:
        for path in paths:
            separate_file(separator, path, out, fmt=fmt)

    def pipeline() -> None:
        shared = Sharing(f"{out}.work", separator, request, len(entries), overwrite=True) if "claims" in way else None
        with shared or nullcontext():
            done = separate_many(separator, entries, LocalPlaces(out, fmt), request, shared, overwrite=True).done
        if done != len(paths):
            raise RuntimeError(f"{done} of {len(paths)} recordings were done")

    return one_after_the_other if way == WAYS[0] else pipeline


def run(settings) -> Block:
    """The block of many recordings."""
    block, rows = Block("Many recordings"), []
    sizes = ((3, 1.0),) if settings.quick else ((200, 5.0), (20, 30.0))
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        waits_shortly(os.environ)  # in all contenders, as in the command
        for count, seconds in sizes:
            paths = write_recordings(Path(folder, f"{seconds:g}s"), count, seconds)
            for model in ("identity", "tiny"):
                for fmt in ("wav", "flac") if model == "identity" and not settings.quick else ("wav",):
                    rows += _contest(block, settings, paths, seconds, model, fmt, folder)
    block.text("Stereo at 44.1 kHz, two stems of each recording; all contenders write the same bytes.")
    block.table(("recordings", "model", "stems", "contender", "files per minute", "times the baseline"), rows)
    return block


def _contest(block: Block, settings, paths: list[str], seconds: float, model: str, fmt: str, folder: str) -> list:
    what, entries = f"{len(paths)} of {seconds:g} s", {}
    outs = {way: f"{folder}/{model}_{seconds:g}_{fmt}_{number}" for number, way in enumerate(WAYS)}
    for way in WAYS:
        arguments = dict(way=way, model=model, paths=paths, out=outs[way], fmt=fmt, device=settings.device)
        entries[way] = (make_run, arguments, True)
    outcomes = contest(entries, settings.repeats, settings.threads)
    if len({_digest(Path(out)) for out in outs.values()}) != 1:
        raise RuntimeError("the contenders wrote different bytes")
    rows = []
    for way, outcome in outcomes.items():
        rates = Spread.of([60 * len(paths) / second for second in outcome.seconds]).text("{:.0f}")
        ratio = speed_up(outcomes[WAYS[0]], outcome)
        rows.append((what, model, fmt, way, rates, "1" if way == WAYS[0] else ratio.text()))
    ratio = speed_up(outcomes[WAYS[0]], outcomes[WAYS[2]])
    block.target(f"{what}, {model}, {fmt}, list", 1.2, ratio.median, LIMIT.format(cores=settings.threads))
    return rows


def _digest(folder: Path) -> str:
    """Hash of all files below a folder and of their names."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()
