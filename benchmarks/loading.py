"""Training data: items per second, against opening, reading and closing each stem with soundfile.

In one process, which compares the reading, and through one worker process in batches of two, which compares what
reaches the training: ours through its ring of shared memory, the other through PyTorch's ``DataLoader`` as it is. Ours
runs where freed memory is kept, as in `fit`.
"""

import multiprocessing
import tempfile
from pathlib import Path

import soundfile
import torch
from torch.utils.data import DataLoader

from asteroid_bsrnn.data.corpus import get_corpus
from asteroid_bsrnn.data.demo.songs import make_synth
from asteroid_bsrnn.data.music.activity import write_segments
from asteroid_bsrnn.data.music.musdb import SOURCES
from asteroid_bsrnn.data.music.segments_dataset import MUSDB18HQ
from asteroid_bsrnn.training.feed.ring import RingLoader
from asteroid_bsrnn.training.feed.sampling import TolerantDataset

from .contest import Spread, contest, speed_up
from .record import Block

LIMIT = "memory bandwidth: mixing and copying are the same in both, and all that is left of ours"


class OpenReadClose:
    """In the place of our reader: each chunk opens its file anew, and comes as a new float array."""

    def __init__(self, reader):
        self.wav, self.frames = reader.wav, reader.frames

    def read(self, paths, start, frames, channels, out):
        """Samples ``[start, start + frames)`` of a stem of one file into ``out``."""
        (path,) = paths
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            out[:] = file.read(frames, dtype="float32", always_2d=True).T


def textbook(dataset):
    """The same items, each stem opened, read and closed; a dataset of its own."""
    dataset.reader = OpenReadClose(dataset.reader)
    return dataset


def run(settings):
    """The block of data loading."""
    block, n_items = Block("Data loading"), 8 if settings.quick else 120
    n_tracks, duration = (1, 7.0) if settings.quick else (4, 30.0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_synth(folder, {"train": n_tracks, "valid": 0, "test": 0}, duration, n_jobs=1)
        lists = Path(folder) / "lists"
        write_segments(folder, get_corpus("synth").tracks(folder, "train"), SOURCES, lists)
        kinds = {
            "segment lists, fixed pairs (as published)": dict(lists=lists),
            "whole tracks, fresh pairs (oBSRNN)": dict(
                pairing="fresh", augmentations=("rescale", "channel_swap"), peak_normalise=False
            ),
        }
        for kind, options in kinds.items():
            rows += _rows(block, settings, kind, folder, options, n_items)
    block.text(
        f"3-s items of {n_tracks} rendered songs in the page cache. Draws, augmentations and sums are the same in both, "
        "so the ratio is that of reading and handing over alone with all else added to both sides."
    )
    block.table(("items", "where", "ours, items/s", "open-read-close, items/s", "times the baseline"), rows)
    return block


def make_reading(textbook_way, root, options, n_items):
    """A function that reads all items of a data set in the process that calls it."""
    dataset = _dataset(textbook_way, root, options, n_items)

    def read():
        for index in range(n_items):
            dataset[index]

    return read


def make_delivery(textbook_way, root, options, n_items):
    """A function that takes all items of a data set from one worker, in batches of two."""
    multiprocessing.set_start_method("fork", force=True)  # Linux's own; a process of a contest is spawned
    dataset = _dataset(textbook_way, root, options, n_items)
    batches = [[(0, index), (0, index + 1)] for index in range(0, n_items, 2)]
    if textbook_way:
        loader = DataLoader(dataset, batch_sampler=batches, num_workers=1, persistent_workers=True)
    else:
        loader = RingLoader(TolerantDataset(dataset), batches, num_workers=1)

    def deliver():
        for _ in loader:
            pass

    return deliver


def _dataset(textbook_way, root, options, n_items):
    dataset = MUSDB18HQ(root, n_items=n_items, valid_tracks=[], **options)
    return textbook(dataset) if textbook_way else dataset


def _rows(block, settings, kind, folder, options, n_items):
    arguments = dict(root=folder, options=options, n_items=n_items)
    ours, slow = (_dataset(way, **arguments) for way in (False, True))
    for index in range(3):
        if not all(map(torch.equal, ours[index], slow[index])):
            raise RuntimeError("the two ways of reading give different items")
    rows = []
    for where, make in (("one process", make_reading), ("through one worker", make_delivery)):
        entries = {way: (make, dict(arguments, textbook_way=way), not way) for way in (True, False)}
        outcomes = contest(entries, settings.repeats, threads=1)
        ratio = speed_up(outcomes[True], outcomes[False])
        if make is make_delivery:
            block.target(f"items per second {where}, {kind}", 3.0, ratio.median, LIMIT)
        rates = [
            Spread.of([n_items / second for second in outcomes[way].seconds]).text("{:.0f}") for way in (False, True)
        ]
        rows.append((kind, where, *rates, ratio.text()))
    return rows
