"""Audio files in: any format, block by block, all of it, with every fault named. (Files out: :mod:`.write`.)"""

import stat
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch

from ..common.errors import AudioError
from . import ffmpeg
from .decoders import open_source, through_ffmpeg
from .info import AudioInfo
from .source import Source

# What is looked for in a folder. A file that is given by its name may have any suffix.
SUFFIXES = frozenset(
    ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .caf .w64 .rf64 "
    ".m4a .m4b .mp4 .aac .wma .ac3 .mka .webm .mov .alac .wv .ape .mp2 .bwf".split()
)
_BLOCK_LEN = 1 << 18


def probe(path: str | Path) -> AudioInfo:
    """What an audio file says about itself.

    Raises:
        AudioError: if it is missing, empty, surely damaged or truncated, or no audio.
    """
    return _open(path).info


def _open(path: str | Path, tolerant: bool = False) -> Source:
    path = Path(path)
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise AudioError(path, "is a folder, not an audio file")
        if not stat.S_ISREG(facts.st_mode):
            raise AudioError(path, "is a pipe or a device; a recording is read more than once: save it to a file first")
        if facts.st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
        source = open_source(path, tolerant)
    except FileNotFoundError:
        if str(path) == "-":
            raise AudioError(
                path, "the standard input cannot be separated: save the recording to a file first"
            ) from None
        raise AudioError(path, "does not exist") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}") from None
    if source.seeks and source.info.frames == 0:
        raise AudioError(path, "states that it holds no samples")
    return source


class AudioReader:
    """An audio file as a stream of blocks.

    Args:
        path: the file.
        start: first frame.
        frames: how many frames, all to the end if negative. A file that ends earlier gives what there is.
        block_len: frames per block.
        tolerant: decode what is damaged or truncated as players do, and say so in ``remarks``.

    Attributes:
        info: of the whole file.
        n_read: frames given so far.

    Raises:
        AudioError: as :func:`probe` does, or if the file ends before ``start``.
    """

    def __init__(
        self, path: str | Path, start: int = 0, frames: int = -1, block_len: int = _BLOCK_LEN, tolerant: bool = False
    ) -> None:
        self.source = _open(path, tolerant)
        self.info, self.start, self.frames, self.block_len = self.source.info, start, frames, block_len
        self.tolerant, self.n_read = tolerant, 0
        if self.source.seeks and start >= self.info.frames:
            raise AudioError(path, self._too_late(self.info.frames))

    @property
    def remarks(self) -> list[str]:
        """What was wrong with the file though it could be read, as far as known when it is asked."""
        return list(self.source.remarks)

    def _too_late(self, length: int) -> str:
        rate = self.info.sample_rate
        return f"ends at {length / rate:g} s, before the start that was asked for, {self.start / rate:g} s"

    def __iter__(self) -> Generator[torch.Tensor, None, None]:
        """Yield float32 tensors (channels, time).

        Raises:
            AudioError: where the file is damaged or truncated, or a sample is not a finite number.
        """
        self.n_read = 0
        blocks = self._tolerated() if self.tolerant else self.source.blocks(self.start, self.block_len)
        for block in blocks:
            if self.frames >= 0:
                block = block[: self.frames - self.n_read]
            if not np.isfinite(block).all():
                bad = int(np.argmin(np.isfinite(block).all(axis=1))) + self.start + self.n_read
                raise AudioError(
                    self.info.path, f"has a sample that is NaN or infinite, at {bad / self.info.sample_rate:g} s"
                )
            self.n_read += len(block)
            yield torch.from_numpy(np.array(block.T, order="C"))
            if self.n_read == self.frames:
                return
        if not self.n_read:
            too_late = self.source.at and self.start
            raise AudioError(
                self.info.path, self._too_late(self.source.at) if too_late else "holds no samples (its length is zero)"
            )

    def _tolerated(self) -> Iterator[np.ndarray]:
        """All blocks; from where decoding fails on, what ffmpeg makes of the rest."""
        source = self.source
        try:
            yield from source.blocks(self.start, self.block_len)
        except AudioError as error:
            source.remarks.append(error.reason)
            if source.info.decoder == "ffmpeg" or not ffmpeg.available():
                return
            yield from through_ffmpeg(self.info.path, True, error.reason).blocks(
                max(source.at, self.start), self.block_len
            )


def read_audio(path: str | Path, start: int = 0, frames: int = -1) -> tuple[torch.Tensor, int]:
    """Read a file, or a part of it, into memory.

    Args:
        path: any format that libsndfile or ffmpeg reads.
        start: first frame.
        frames: how many, all to the end if negative.

    Returns:
        Waveform, float32 (channels, time), and its sample rate in Hz.

    Raises:
        AudioError: if the file cannot be used.
    """
    reader = AudioReader(path, start, frames)
    return torch.cat(list(reader), dim=-1), reader.info.sample_rate
