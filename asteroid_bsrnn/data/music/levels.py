"""Levels of music: mean and deviation of each track's mono mix (standardisation), and how loud a chunk is (gate)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...audio.wav import WavReader
from ...common.errors import UserError
from ...common.files import atomic_path
from ..corpus import Corpus, Track
from .stem_reader import StemReader

MEASURES = ("rms", "mean_abs")
TRIES = 50  # draws for a chunk that is loud enough; the last one counts, whatever its level
_BLOCK = 1 << 20  # samples read at a time


def loudness(chunk: np.ndarray, measure: str) -> float:
    """Level of a chunk in dB below full scale: of its root mean square, or of its mean magnitude; -inf for silence."""
    level = (
        np.sqrt(np.mean(np.square(chunk, dtype=np.float64)))
        if measure == "rms"
        else np.abs(chunk).mean(dtype=np.float64)
    )
    return float(20 * np.log10(level)) if level > 0 else -np.inf


def mono_mix_level(track: Track, stems: Sequence[str], reader: StemReader, channels: int) -> tuple[float, float]:
    """Mean and (unbiased) standard deviation of the mean over channels of the sum of all stems."""
    length = max(reader.frames(track.stems[stem]) for stem in stems)
    total = squares = 0.0
    for start in range(0, length, _BLOCK):
        count = min(_BLOCK, length - start)
        mono = sum(reader.read(track.stems[stem], start, count, channels).mean(0, dtype=np.float64) for stem in stems)
        total, squares = total + mono.sum(), squares + np.square(mono).sum()
    mean = total / length
    return mean, float(np.sqrt(max(0.0, squares - length * mean**2) / max(1, length - 1)))


def write_levels(path: str | Path, tracks: Sequence[Track], corpus: Corpus) -> Path:
    """Write ``track, mean, std`` of the mono mix of each track, unless the file has them already."""
    path = Path(path)
    if path.exists() and {track.name for track in tracks} <= set(read_levels(path)):
        return path
    reader = StemReader(WavReader(max_open=2 * len(corpus.stems)))
    rows = [(track.name, *mono_mix_level(track, corpus.stems, reader, corpus.channels)) for track in tracks]
    with atomic_path(path) as partial:
        pd.DataFrame(rows, columns=["track", "mean", "std"]).to_csv(partial, index=False)
    return path


def read_levels(path: str | Path) -> dict[str, tuple[float, float]]:
    """Track -> (mean, standard deviation).

    Raises:
        UserError: if the file is missing or is not one of :func:`write_levels`.
    """
    try:
        table = pd.read_csv(path, dtype={"track": str})
        return {name: (mean, std) for name, mean, std in table[["track", "mean", "std"]].itertuples(index=False)}
    except FileNotFoundError:
        raise UserError(f"{path} is missing: stage 1 of the recipe writes the levels of the tracks") from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} holds no levels (columns: track, mean, std): {error}") from None
