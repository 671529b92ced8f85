"""A music corpus, MUSDB18-HQ or any other, for training (random mixes of chunks) and for validation (whole tracks)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ...audio.wav import WavReader
from ...common.errors import AudioError, UserError
from ...common.registry import check_known
from ..corpus import Corpus, Track, check_targets, get_corpus
from .activity import check_made_from, read_segments
from .augment import build_augmentations, peak_normalise
from .layout import check_track, corpus_infos
from .levels import MEASURES, TRIES, loudness, read_levels
from .stem_reader import StemReader

PAIRINGS = ("fixed", "fresh")
Rows = tuple[list[str], list[tuple[str, ...]], np.ndarray, np.ndarray]
"""Of one source: tracks of the rows, files of each, first samples, last samples + 1."""


class MUSDB18HQ(Dataset):
    """Random mixes: each stem is a chunk of some track, drawn for itself, augmented, and summed with the others.

    What item ``i`` of an epoch holds depends on (seed, epoch, i) alone. The stems come from segment lists (``lists``,
    as ``asteroid_bsrnn.data.music.activity`` writes them) or, without lists, from whole tracks, each track equally likely.

    Args:
        root: folder of the corpus.
        targets: stems to return as sources; all stems of the corpus are always in the mixture.
        segment: length of an item in seconds.
        n_items: items per epoch.
        lists: folder with ``<source>_train.csv``; None draws from whole tracks.
        pairing: which row of each list an item takes. ``"fixed"``, as published: row ``i`` of a list that was
            shuffled once with the same seed for each source, so an item holds the same four segments in every epoch
            (without lists: four passages of one song). ``"fresh"``: any row, for each source and each item anew.
        random_chunk: take the chunk anywhere in its row, else at its start.
        augmentations: names of functions of ``asteroid_bsrnn.data.music.augment``, applied in this order.
        peak_normalise: divide each item by its peak; published with lists, absent from the paper.
        levels: file of :func:`~.levels.write_levels`: each chunk is standardised by the mean and
            deviation of its track's mono mix.
        gate_db: chunks that are quieter are drawn again, at most 50 times; dB below full scale.
        gate_level: what is measured: ``"rms"`` or ``"mean_abs"``.
        seed: with epoch and index, the origin of every draw.
        valid_tracks: names to leave out; by default musdb's 14.
        n_tracks: train on the first so many tracks only.
        corpus: what lies in ``root``; see :mod:`asteroid_bsrnn.data.corpus`.

    Shape: item ``i`` or ``(epoch, i)`` -> mixture (2, time), sources (n_src, 2, time), float32.

    Raises:
        UserError, AudioError: at construction, for a corpus that cannot be used; AudioError at an item, for a file
            that has become unreadable.

    References:
        Magron et al., "The Costs of Reproducibility in Music Separation Research", arXiv 2603.09187.
    """

    dataset_name = "MUSDB18HQ"

    def __init__(
        self,
        root: str | Path,
        *,
        targets: Sequence[str] = ("vocals",),
        segment: float = 3.0,
        n_items: int = 20000,
        lists: str | Path | None = None,
        pairing: str = "fixed",
        random_chunk: bool = True,
        augmentations: Sequence[str | dict[str, Any]] = ("rescale_db", "silent_source"),
        peak_normalise: bool = True,
        seed: int = 42,
        valid_tracks: Sequence[str] | None = None,
        n_tracks: int | None = None,
        corpus: str | Corpus = "musdb18hq",
        levels: str | Path | None = None,
        gate_db: float | None = None,
        gate_level: str = "rms",
    ) -> None:
        check_known("gate_level", gate_level, MEASURES)
        check_known("pairing", pairing, PAIRINGS)
        self.corpus = get_corpus(corpus)
        self.root, self.targets, self.seed = Path(root), tuple(targets), seed
        self.sample_rate, self.channels = self.corpus.sample_rate, self.corpus.channels
        self.segment_len, self.n_items = int(round(segment * self.sample_rate)), n_items
        self.pairing, self.random_chunk, self.peak_normalise = pairing, random_chunk, peak_normalise
        self.gate_db, self.gate_level = -np.inf if gate_db is None else gate_db, gate_level
        self.target_index = check_targets(self.corpus, targets)
        self.augmentations = build_augmentations(
            augmentations, self.target_index[0] if len(self.targets) == 1 else None
        )
        self.reader = StemReader(WavReader())
        self._stems: np.ndarray | None = None
        tracks = {
            track.name: track for track in self.corpus.tracks(root, "train", valid_tracks=valid_tracks, limit=n_tracks)
        }
        frames = {name: check_track(track, self.reader, self.corpus) for name, track in tracks.items()}
        if lists is not None:
            check_made_from(Path(lists) / "train.json", {"lengths": frames}, self.root)
        self.levels = {} if levels is None else read_levels(levels)
        if levels is not None and (missing := [name for name in tracks if name not in self.levels]):
            raise UserError(f"{levels} lacks {missing[0]!r}: remove it and run stage 1 again")
        self.rows = [self._rows(source, tracks, frames, lists) for source in self.corpus.stems]
        self.order = [np.random.default_rng(seed).permutation(len(names)) for names, *_ in self.rows]

    def _rows(
        self, source: str, tracks: Mapping[str, Track], frames: Mapping[str, int], lists: str | Path | None
    ) -> Rows:
        """Rows of a source that chunks are drawn from."""
        if lists is None:  # paired as fixed, an index is one song, whose lacking stems are silent
            names = [name for name in frames if self.pairing == "fixed" or tracks[name].stems[source]]
            if not names:
                raise UserError(f"{self.root}: no training track has a stem {source}")
            begins, ends = np.zeros(len(names), np.int64), np.array([frames[name] for name in names], np.int64)
        else:
            names, begins, ends = read_segments(Path(lists) / f"{source}_train.csv")
            unknown = sorted(set(names) - set(frames))
            if unknown:
                raise UserError(
                    f"{lists}/{source}_train.csv lists {unknown[0]!r}, which is no training track of {self.root}"
                )
        files = [tracks[name].stems[source] for name in names]
        for name, paths, begin, end in zip(names, files, begins, ends):
            length = self.reader.frames(paths) if self.corpus.complete else frames[name]
            place = paths[0] if len(paths) == 1 else f"{source} of {name}"
            if not 0 <= begin < end <= length:
                raise AudioError(place, f"has {length} samples; its segment list says {begin} to {end}")
            if end - begin < self.segment_len:
                raise AudioError(
                    place, f"gives only {end - begin} samples in a row; an item needs {self.segment_len} (key segment)"
                )
        return names, files, begins, ends

    def __len__(self) -> int:
        return self.n_items

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = item if isinstance(item, tuple) else (0, item)
        if not 0 <= index < self.n_items:
            raise IndexError(f"item {index} of {self.n_items}")
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        stems = self._read_stems(int(index), generator)
        for augment in self.augmentations:
            augment(stems, generator)
        mixture, sources = _sum_and_select(stems, self.target_index)
        if self.peak_normalise:
            peak_normalise(mixture, sources)
        return mixture, sources

    def _read_stems(self, index: int, generator: np.random.Generator) -> np.ndarray:
        """The item's chunks, in a buffer that the next item overwrites."""
        if self._stems is None:
            self._stems = np.empty((len(self.rows), self.channels, self.segment_len), np.float32)
        stems = self._stems
        for source, (order, out) in enumerate(zip(self.order, stems)):
            fixed = int(order[index % len(order)]) if self.pairing == "fixed" else None
            for _ in range(TRIES):
                row = self._read_chunk(source, fixed, generator, out)
                if self.gate_db == -np.inf or loudness(out, self.gate_level) >= self.gate_db:
                    break
                fixed = None  # any other row
            if self.levels:
                mean, std = self.levels[self.rows[source][0][row]]
                out -= np.float32(mean)
                out /= np.float32(std or 1.0)
        return stems

    def _read_chunk(self, source: int, row: int | None, generator: np.random.Generator, out: np.ndarray) -> int:
        """A chunk of the row, or of any, of a source into ``out``; the row."""
        _, files, begins, ends = self.rows[source]
        row = int(generator.integers(len(files))) if row is None else row
        slack = ends[row] - begins[row] - self.segment_len
        start = begins[row] + (generator.integers(slack, endpoint=True) if self.random_chunk else 0)
        self.reader.read(files[row], int(start), self.segment_len, self.channels, out=out)
        return row

    def get_infos(self) -> dict[str, Any]:
        """Name, task and licences of the data, as Asteroid's sharing tools ask for."""
        return corpus_infos(self.root, self.corpus)


class MUSDB18HQTracks(Dataset):
    """Whole tracks, unaltered, sorted by name; the mixture is the sum of all stems.

    Args:
        root: folder of the corpus.
        split: ``"valid"``, ``"test"`` or ``"train"``.
        targets: stems to return as sources.
        valid_tracks: names of the validation tracks; by default musdb's 14.
        n_tracks: the first so many only.
        corpus: what lies in ``root``; see :mod:`asteroid_bsrnn.data.corpus`.

    Shape: item ``i`` -> mixture (2, time), sources (n_src, 2, time), float32. ``names[i]`` is the track's name;
    ``complete`` says whether every track has every stem; else a silent source is one that the track lacks, not to be scored.
    """

    dataset_name = "MUSDB18HQ"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "valid",
        targets: Sequence[str] = ("vocals",),
        valid_tracks: Sequence[str] | None = None,
        n_tracks: int | None = None,
        corpus: str | Corpus = "musdb18hq",
    ) -> None:
        self.corpus = get_corpus(corpus)
        self.root, self.split, self.targets = Path(root), split, tuple(targets)
        self.sample_rate, self.complete = self.corpus.sample_rate, self.corpus.complete
        self.target_index = check_targets(self.corpus, targets)
        self.reader = StemReader(WavReader(max_open=2 * len(self.corpus.stems)))
        self.tracks = self.corpus.tracks(root, split, valid_tracks=valid_tracks, limit=n_tracks)
        self.frames = [check_track(track, self.reader, self.corpus) for track in self.tracks]
        self.names = [track.name for track in self.tracks]

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        files, frames = self.tracks[index].stems, self.frames[index]
        stems = np.stack([self.reader.read(files[stem], 0, frames, self.corpus.channels) for stem in self.corpus.stems])
        return _sum_and_select(stems, self.target_index)

    def get_infos(self) -> dict[str, Any]:
        """Name, task and licences of the data, as Asteroid's sharing tools ask for."""
        return corpus_infos(self.root, self.corpus)


def _sum_and_select(stems: np.ndarray, index: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixture and targets of an array of stems, as tensors of their own."""
    mixture = stems[0] + stems[1]
    for stem in stems[2:]:
        mixture += stem
    return torch.from_numpy(mixture), torch.from_numpy(stems[index])
