"""A small corpus in MUSDB18-HQ's layout, made of seeded noise bursts."""

import numpy as np
import soundfile

SOURCES = ("vocals", "bass", "drums", "other")


def write_track(folder, frames, seed, sample_rate=44100, channels=2, subtype="PCM_16", stems=SOURCES, level=0.1):
    """Noise in every stem, different in every stem and channel."""
    folder.mkdir(parents=True)
    for k, stem in enumerate(stems):
        noise = np.random.default_rng([seed, k]).uniform(-level, level, (frames, channels))
        soundfile.write(folder / f"{stem}.wav", noise, sample_rate, subtype=subtype)


def write_corpus(root, lengths=(30000, 40000, 50000), valid=("Valid A",), test=("Test A",), **options):
    """Tracks ``Song 0``, ``Song 1``, ... in train/, and the others where they belong. Returns ``root``."""
    for k, frames in enumerate(lengths):
        write_track(root / "train" / f"Song {k}", frames, k, **options)
    for k, name in enumerate(valid):
        write_track(root / "train" / name, 20000, 100 + k, **options)
    for k, name in enumerate(test):
        write_track(root / "test" / name, 25000, 200 + k, **options)
    return root
