"""Training data: items per second of one worker, against opening, reading and closing each stem with soundfile."""
import tempfile
from pathlib import Path

import soundfile
import torch

from asteroid_bsrnn.data.corpora import SOURCES
from asteroid_bsrnn.data.musdb18hq import MUSDB18HQ
from asteroid_bsrnn.data.sad import write_segments
from asteroid_bsrnn.data.synth import make_synth

from .contest import Spread, in_turn
from .record import Block


class OpenReadClose:
    """In the place of our reader: each chunk opens its file anew, and comes as a new float array."""

    def __init__(self, reader):
        self.info = reader.info

    def read(self, path, start, frames, out):
        """Samples ``[start, start + frames)`` into ``out``."""
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            out[:] = file.read(frames, dtype="float32", always_2d=True).T


def textbook(dataset):
    """The same items, each stem opened, read and closed; a dataset of its own."""
    dataset.reader = OpenReadClose(dataset.reader)
    return dataset


def run(settings):
    """The block of data loading."""
    block, n_items = Block("Data loading"), 8 if settings.quick else 200
    n_tracks, duration = (1, 7.0) if settings.quick else (4, 30.0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_synth(folder, {"train": n_tracks, "valid": 0, "test": 0}, duration, n_jobs=1)
        tracks = [track.name for track in sorted((Path(folder) / "train").iterdir())]
        lists = Path(folder) / "lists"
        write_segments(Path(folder) / "train", tracks, SOURCES, lists)
        kinds = {
            "segment lists, fixed pairs (as published)": dict(lists=lists),
            "whole tracks, fresh pairs (oBSRNN)": dict(
                pairing="fresh", augmentations=("rescale", "channel_swap"), peak_normalise=False
            ),
        }
        for kind, options in kinds.items():
            rows.append((kind, *_items(block, settings, kind, folder, options, n_items)))
    block.text(
        f"One process, 3-s items of {n_tracks} rendered songs in the page cache; draws, augmentations and sums are the "
        "same in both, so the ratio is that of reading alone with all else added to both sides."
    )
    block.table(("items", "ours, items/s", "open-read-close, items/s", "times the baseline"), rows)
    return block


def _items(block, settings, kind, folder, options, n_items):
    ours, slow = (MUSDB18HQ(folder, n_items=n_items, valid_tracks=[], **options) for _ in range(2))
    slow = textbook(slow)
    for index in range(3):
        if not all(map(torch.equal, ours[index], slow[index])):
            raise RuntimeError("the two ways of reading give different items")
    before, after, ratio = in_turn(lambda: _read(slow), lambda: _read(ours), settings.repeats)
    block.target(f"items per second, {kind}", 3.0, ratio.median, "what mixing and the copy to float take in both")
    rates = [f"{Spread.of([n_items / second for second in seconds]).median:.0f}" for seconds in (after, before)]
    return (*rates, ratio.text())


def _read(dataset):
    for index in range(len(dataset)):
        dataset[index]
