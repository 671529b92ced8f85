"""Stems of one file, of several whose sum they are, or of none (silence), read at any place."""

from collections.abc import Sequence

import numpy as np

from ...audio.wav import WavReader


class StemReader:
    """Reads stretches of stems.

    Args:
        wav: keeps files open.
    """

    def __init__(self, wav: WavReader) -> None:
        self.wav = wav

    def frames(self, files: Sequence[str]) -> int:
        """Length in samples of the longest file; 0 for none."""
        return max((self.wav.info(path).frames for path in files), default=0)

    def read(
        self, files: Sequence[str], start: int, count: int, channels: int = 2, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``count`` samples from ``start`` on; silence behind the end of a file that is shorter than others.

        Args:
            files: what the stem is made of.
            out: (channels, count) float32, to be filled.

        Returns:
            (channels, count), float32.

        Raises:
            AudioError: for a file that cannot be read, or holds a NaN.
        """
        if len(files) == 1 and start + count <= self.wav.info(files[0]).frames:
            return self.wav.read(files[0], start, count, out=out)
        out = np.empty((channels, count), np.float32) if out is None else out
        out[:] = 0
        for path in files:
            there = min(count, self.wav.info(path).frames - start)
            if there > 0:
                out[:, :there] += self.wav.read(path, start, there)
        return out
