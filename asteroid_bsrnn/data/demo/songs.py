"""A demonstration corpus of any size: seeded songs with drums, bass, chords and a singing voice in one key and tempo.

Every song has the same eight sections (intro, verse, chorus, ...), in which some stems rest, so that activity
detection has something to find, and random mixing something to mix. It is no music to learn from: scores on it show
that everything works at a realistic size, nothing else.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...audio.wav import write_wav
from ...common.files import write_json
from ..corpus import CORPUS_FILE, SPLITS
from ..music.musdb import SOURCES
from . import instruments as voices

SECTIONS = (
    "other",
    "vocals other bass",
    "vocals other bass drums",
    "vocals other",
    "vocals bass drums",
    "other bass drums",
    "vocals other bass drums",
    "other drums",
)
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (0, 2, 3, 4))  # degrees of the scale
LEVELS = {"vocals": 0.09, "bass": 0.08, "drums": 0.08, "other": 0.06}  # RMS where a stem sounds
INFOS = {
    "dataset": "synthetic songs",
    "task": "music_separation",
    "licenses": [
        {
            "title": "Songs rendered by asteroid_bsrnn",
            "title_link": "https://creativecommons.org/publicdomain/zero/1.0/",
            "author": "asteroid_bsrnn",
            "author_link": "https://creativecommons.org/publicdomain/zero/1.0/",
            "license": "CC0 1.0",
            "license_link": "https://creativecommons.org/publicdomain/zero/1.0/",
            "non_commercial": False,
        }
    ],
}


class Song(NamedTuple):
    """What the stems of a song share: seconds per beat, MIDI key note, scale, chord degrees, bars and their stems."""

    duration: float
    beat: float
    key: int
    scale: tuple[int, ...]
    chords: tuple[int, ...]
    playing: list[list[str]]  # per bar: the names of the stems that play

    def frequency(self, degree: int, octave: int = 0) -> float:
        """Hz of a degree of the scale (0 is the key note)."""
        note = self.key + 12 * octave + 12 * (degree // 7) + self.scale[degree % 7]
        return 440 * 2 ** ((note - 69) / 12)

    def bars(self, stem: str) -> list[tuple[float, int]]:
        """(start in seconds, chord degree) of the bars in which ``stem`` plays."""
        return [
            (4 * self.beat * k, self.chords[k % len(self.chords)])
            for k, names in enumerate(self.playing)
            if stem in names
        ]


def compose(duration: float, generator: np.random.Generator) -> Song:
    """Draw tempo, key, chords and structure of a song of ``duration`` seconds."""
    beat = 60 / generator.uniform(84, 148)
    n_bars = max(int(np.ceil(duration / (4 * beat))), 1)
    sections = [SECTIONS[k * len(SECTIONS) // n_bars] for k in range(n_bars)]
    scale = SCALES[("major", "minor")[generator.integers(2)]]
    chords = PROGRESSIONS[generator.integers(len(PROGRESSIONS))]
    return Song(duration, beat, int(generator.integers(45, 57)), scale, chords, [names.split() for names in sections])


def render(song: Song, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Render the stems of a song.

    Returns:
        Source -> (2, time) float32; their sum stays within full scale.
    """
    makers = {"vocals": _vocals, "bass": _bass, "drums": _drums, "other": _other}
    stems = {}
    for source, seed in zip(SOURCES, generator.integers(2**62, size=len(SOURCES))):
        rng, out = np.random.default_rng(seed), np.zeros((2, voices.samples(song.duration)), np.float32)
        makers[source](song, out, rng)
        out = voices.reverberate(out, rng, wet=0.03 if source == "bass" else 0.12)
        sounding = np.abs(out).max(0) > 1e-3
        stems[source] = out * (LEVELS[source] / np.sqrt(np.mean(out[:, sounding] ** 2))) if sounding.any() else out
    peak = max(np.abs(audio).max() for audio in [*stems.values(), sum(stems.values())])
    return {source: audio * min(1, 0.98 / max(peak, 1e-9)) for source, audio in stems.items()}


def _add(out: np.ndarray, sound: np.ndarray, start: float, left: float = 1.0, right: float = 1.0) -> None:
    """Add a mono or stereo sound to ``out`` from ``start`` seconds on; what lies beyond its end is cut."""
    first = voices.samples(start)
    sound = np.stack([left * sound, right * sound]) if sound.ndim == 1 else sound
    part = sound[:, : max(out.shape[1] - first, 0)]
    out[:, first : first + part.shape[1]] += part


def _drums(song: Song, out: np.ndarray, generator: np.random.Generator) -> None:
    hits = {
        kind: [voices.drum(kind, generator) for _ in range(4)] for kind in ("kick", "snare", "hat", "open_hat", "tom")
    }
    kicks = ((0, 2, 2.5), (0, 1.5, 2), (0, 1, 2, 3))[generator.integers(3)]
    for k, (start, _) in enumerate(song.bars("drums")):
        pattern = (
            [("kick", beat) for beat in kicks]
            + [("snare", 1), ("snare", 3)]
            + [("hat", b / 2) for b in range(7)]
            + [("open_hat", 3.5)]
        )
        pattern += [("tom", 3 + b / 4) for b in range(4)] if k % 4 == 3 else []
        for kind, beat in pattern:
            gain, pan = generator.uniform(0.7, 1), {"hat": 0.4, "open_hat": 0.4, "tom": -0.4}.get(kind, 0.0)
            _add(out, hits[kind][generator.integers(4)], start + beat * song.beat, gain * (1 - pan), gain * (1 + pan))
    np.tanh(out, out=out)  # a soft limit where hits coincide


def _bass(song: Song, out: np.ndarray, generator: np.random.Generator) -> None:
    rhythm = ((0, 1, 2, 3), (0, 1.5, 2, 3.5), (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), (0, 2.5))[generator.integers(4)]
    for start, chord in song.bars("bass"):
        for beat, after in zip(rhythm, (*rhythm[1:], 4)):
            degree = chord + int(generator.choice([0, 0, 0, 4, 7]))
            _add(
                out,
                voices.bass(song.frequency(degree, -1), 0.92 * (after - beat) * song.beat),
                start + beat * song.beat,
            )


def _other(song: Song, out: np.ndarray, generator: np.random.Generator) -> None:
    strings = {}
    for start, chord in song.bars("other"):
        triad = [chord, chord + 2, chord + 4]
        _add(out, voices.pad([song.frequency(degree, 1) for degree in triad], 4 * song.beat, generator), start)
        for k in range(8):
            degree = triad[generator.integers(3)] + 7 * int(generator.integers(2))
            if degree not in strings:
                strings[degree] = voices.pluck(song.frequency(degree, 1), 1.0, generator)
            _add(out, strings[degree], start + k * song.beat / 2, 0.5 + 0.4 * (k % 2), 0.9 - 0.4 * (k % 2))


def _vocals(song: Song, out: np.ndarray, generator: np.random.Generator) -> None:
    """One phrase per bar: a walk along the scale that begins on a note of the chord, with a breath at the end."""
    octave = int(generator.integers(1, 3)) if song.key < 50 else 1
    for start, chord in song.bars("vocals"):
        lengths = [(1, 0.5, 0.5, 1.5), (0.5, 0.5, 1, 1), (1.5, 0.5, 1.5), (0.5, 0.5, 0.5, 0.5, 1)][
            generator.integers(4)
        ]
        degree, beat, notes = chord % 7 + 2 * int(generator.integers(2)), 0.0, []
        for length in lengths:
            notes.append((start + beat * song.beat, 0.95 * length * song.beat, song.frequency(degree, octave)))
            beat, degree = beat + length, degree + int(generator.choice([-2, -1, -1, 1, 1, 2]))
        _add(out, voices.sing(notes, generator), start)


def make_synth(
    root: str | Path, sizes: Mapping[str, int], duration: float = 30.0, seed: int = 0, n_jobs: int | None = None
) -> None:
    """Render a corpus in MUSDB18-HQ's layout, with a folder ``valid`` of its own.

    A song depends on ``seed``, its split and its number alone: a larger corpus holds the smaller one's songs.

    Args:
        root: where; created when missing.
        sizes: split (``train``, ``valid``, ``test``) -> number of songs.
        duration: seconds per song.
        n_jobs: songs at a time; by default one per core.
    """
    from tqdm import tqdm

    def make(item: tuple[str, int]) -> None:
        split, k = item
        generator = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index(split), k]))
        stems = render(compose(duration, generator), generator)
        for name, audio in {**stems, "mixture": sum(stems.values())}.items():
            write_wav(Path(root) / split / f"Synthetic {split} {k:03d}" / f"{name}.wav", audio, voices.SAMPLE_RATE)

    songs = [(split, k) for split in SPLITS for k in range(sizes[split])]
    with ThreadPoolExecutor(n_jobs or os.cpu_count()) as pool:
        list(tqdm(pool.map(make, songs), total=len(songs), desc="rendering", unit="song"))
    write_json(
        Path(root) / CORPUS_FILE,
        {"corpus": "synth", "settings": {"sizes": sizes, "duration": duration, "seed": seed}, "infos": INFOS},
    )
