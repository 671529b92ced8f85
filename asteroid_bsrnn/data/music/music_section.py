"""The section ``data`` of a music configuration: which corpus, its lists, and the three data sets made of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ...common.errors import UserError
from ...common.files import atomic_folder, read_json
from ...common.typed import check_counts, check_types
from ..corpus import CORPUS_FILE, Corpus, check_names, get_corpus, register_corpus
from ..demo.excerpt import make_excerpt
from ..demo.songs import make_synth
from .activity import MODES, window_samples, write_segments
from .layout import check_corpus
from .levels import write_levels
from .musdb import SOURCES
from .segments_dataset import MUSDB18HQ, MUSDB18HQTracks


@dataclass(frozen=True)
class MusicData:
    """All keys of the section ``data``; the defaults are the published protocol of the base model.

    Args:
        corpus: ``musdb18hq``, ``moisesdb``, ``excerpt`` (real, 6 s), ``musdb7`` (7 s of every song), ``synth`` (rendered), one that a plug-in
            registers, or the path of a corpus file; see :mod:`asteroid_bsrnn.data.corpus`.
        root: the corpus' folder.
        lists: folder for segment lists; each corpus and rule has a folder of its own in it.
        valid_tracks: names in train/ that validate; default musdb's 14, or all of valid/ if it exists.
        n_train_tracks, n_valid_tracks, n_test_tracks: use the first so many only; ``synth`` renders
            so many (by default 8, 2 and 2).
        segment: length of a training item in seconds.
        n_items: training items per epoch.
        sad: ``reference``, ``track`` or None; see ``asteroid_bsrnn.data.music.activity``.
        sad_window: its window in seconds, from which the items are cut.
        pairing, random_chunk, augmentations, peak_normalise, gate_db, gate_level: see :class:`MUSDB18HQ`.
        standardise: take the mean of its track's mono mix off each chunk and divide by its deviation; the same is done
            to whole songs by ``inference.standardise``.
        synth_duration: length of a rendered song in seconds.
        synth_seed: which songs are rendered.
    """

    corpus: str = "musdb18hq"
    root: str = "data/musdb18hq"
    lists: str = "data/segments"
    valid_tracks: list | None = None
    n_train_tracks: int | None = None
    n_valid_tracks: int | None = None
    n_test_tracks: int | None = None
    segment: float = 3.0
    n_items: int = 20000
    sad: str | None = "reference"
    sad_window: float = 6.0
    pairing: str = "fixed"
    random_chunk: bool = True
    augmentations: tuple = ("rescale_db", "silent_source")
    peak_normalise: bool = True
    standardise: bool = False
    gate_db: float | None = None
    gate_level: str = "rms"
    synth_duration: float = 30.0
    synth_seed: int = 0

    def __post_init__(self) -> None:
        check_types(vars(self), MusicData, "data")
        check_counts(vars(self), ("n_train_tracks", "n_valid_tracks", "n_test_tracks"), "data")
        if self.valid_tracks is not None and not check_names(self.valid_tracks, "data.valid_tracks"):
            raise UserError("data.valid_tracks is empty: name tracks, or null for those of the corpus")
        rate = self.value.sample_rate
        if self.sad is not None and self.sad not in MODES:
            raise UserError(f"data.sad: unknown rule {self.sad!r}; known are {', '.join(MODES)} and null")
        if not self.segment > 0 or not self.n_items > 0:
            raise UserError(f"data.segment and data.n_items must be positive, got {self.segment} and {self.n_items}")
        if self.sad is not None and round(self.segment * rate) > window_samples(self.sad_window, rate):
            raise UserError(
                f"data.segment ({self.segment:g} s) must not exceed data.sad_window ({self.sad_window:g} s)"
            )

    @property
    def value(self) -> Corpus:
        """The corpus, as a value."""
        return get_corpus(self.corpus)

    @property
    def lists_dir(self) -> Path | None:
        """Folder of this rule's segment lists; None without a rule."""
        return None if self.sad is None else Path(self.lists) / self.value.name / self.sad

    @property
    def levels_path(self) -> Path | None:
        """File of the tracks' levels; None where nothing is standardised."""
        return Path(self.lists) / self.value.name / "levels.csv" if self.standardise else None

    @property
    def list_paths(self) -> list[Path]:
        """Files that stage 1 writes."""
        folder, levels = self.lists_dir, self.levels_path
        lists = [] if folder is None else [folder / f"{stem}_train.csv" for stem in self.value.stems]
        return lists if levels is None else [*lists, levels]

    def prepare(self, download: bool = False) -> dict[str, int]:
        """Stage 0: provide the corpus where it is missing, and check it. A checked corpus stays untouched.

        Returns:
            Split -> number of tracks.

        Raises:
            UserError: if the corpus is missing and may not be downloaded; AudioError for a file that cannot be used.
        """
        corpus = self.value
        if corpus.provide is not None:
            corpus.provide(self, download)
        return check_corpus(self.root, corpus, valid_tracks=self.valid_tracks)

    def index(self, n_jobs: int | None = None) -> list[Path]:
        """Stage 1: write the segment lists, if there is a rule, and the levels, if they are used; once.

        Args:
            n_jobs: tracks at a time; by default one per core.

        Returns:
            The files.
        """
        if not self.list_paths:
            return []
        corpus = self.value
        tracks = corpus.tracks(self.root, "train", valid_tracks=self.valid_tracks, limit=self.n_train_tracks)
        if (levels := self.levels_path) is not None:
            write_levels(levels, tracks, corpus)
        if self.sad is not None and (folder := self.lists_dir) is not None:
            write_segments(
                self.root,
                tracks,
                corpus.stems,
                folder,
                self.sad,
                self.sad_window,
                corpus.sample_rate,
                n_jobs or os.cpu_count(),
            )
        return self.list_paths

    def train_set(self, targets: Sequence[str] = ("vocals",), seed: int = 42) -> MUSDB18HQ:
        """Random mixes for training."""
        return MUSDB18HQ(
            self.root,
            targets=targets,
            segment=self.segment,
            n_items=self.n_items,
            lists=self.lists_dir,
            pairing=self.pairing,
            random_chunk=self.random_chunk,
            augmentations=self.augmentations,
            peak_normalise=self.peak_normalise,
            seed=seed,
            valid_tracks=self.valid_tracks,
            n_tracks=self.n_train_tracks,
            corpus=self.value,
            levels=self.levels_path,
            gate_db=self.gate_db,
            gate_level=self.gate_level,
        )

    def valid_set(self, targets: Sequence[str] = ("vocals",)) -> MUSDB18HQTracks:
        """Whole validation tracks."""
        return MUSDB18HQTracks(
            self.root,
            split="valid",
            targets=targets,
            corpus=self.value,
            valid_tracks=self.valid_tracks,
            n_tracks=self.n_valid_tracks,
        )

    def test_set(self, targets: Sequence[str] = ("vocals",)) -> MUSDB18HQTracks:
        """Whole test tracks."""
        return MUSDB18HQTracks(self.root, split="test", targets=targets, corpus=self.value, n_tracks=self.n_test_tracks)


def _excerpt(data: MusicData, download: bool) -> None:
    _make(data, {}, make_excerpt)


def _synth(data: MusicData, download: bool) -> None:
    sizes = {"train": data.n_train_tracks or 8, "valid": data.n_valid_tracks or 2, "test": data.n_test_tracks or 2}
    settings: dict[str, Any] = {"sizes": sizes, "duration": data.synth_duration, "seed": data.synth_seed}
    _make(data, settings, lambda root: make_synth(root, **settings))


register_corpus(Corpus("excerpt", SOURCES, licence="CC BY-NC-SA 3.0", author="The Easton Ellises", provide=_excerpt))
register_corpus(Corpus("synth", SOURCES, licence="CC0 1.0", provide=_synth))


def _make(data: MusicData, settings: dict[str, Any], make: Callable[[Path], None]) -> None:
    """Render a demonstration corpus into ``data.root``, whole or not at all, unless it is there already."""
    root = Path(data.root)
    if root.exists() and any(root.iterdir()):
        found = (
            read_json(root / CORPUS_FILE)
            if (root / CORPUS_FILE).exists()
            else {"corpus": "something else", "settings": {}}
        )
        if (found["corpus"], found["settings"]) != (data.corpus, settings):
            raise UserError(
                f"{root} holds {found['corpus']} {found['settings']}, not {data.corpus} {settings}; "
                "remove it or change data.root"
            )
        return
    with atomic_folder(root) as partial:
        make(partial)


def music_data(conf: Mapping[str, Any], recipe_dir: str | Path = ".") -> MusicData:
    """The section ``data`` of a configuration, its paths taken relative to the recipe's folder.

    Raises:
        UserError: for an unknown key or value.
    """
    section, known = dict(conf["data"]), {field.name for field in fields(MusicData)}
    if unknown := sorted(set(section) - known):
        raise UserError(f"data.{unknown[0]}: unknown key; known are {', '.join(sorted(known))}")
    data = MusicData(**section)
    return replace(data, root=str(Path(recipe_dir) / data.root), lists=str(Path(recipe_dir) / data.lists))
