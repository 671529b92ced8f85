"""Audio files in: any format, block by block, with every fault named. (Files out: :mod:`.audio_out`.)"""
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import torch

from ..common.errors import AudioError
from . import ffmpeg
from .write import AudioWriter

__all__ = ["SUFFIXES", "AudioInfo", "AudioReader", "AudioWriter", "check_audio", "probe", "read_audio"]

# What is looked for in a folder. A file that is given by its name may have any suffix.
SUFFIXES = frozenset(
    ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .caf .w64 .rf64 "
    ".m4a .m4b .mp4 .aac .wma .ac3 .mka .webm .mov .alac .wv .ape".split()
)
_TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright")
_BLOCK_LEN = 1 << 18


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself.

    Args:
        path (str): the file.
        sample_rate (int): in Hz.
        channels (int): how many.
        frames (int): samples per channel. What ffmpeg reads states its duration only roughly.
        tags (dict): title, artist, album, date, genre, tracknumber, comment, copyright, as far as given.
        decoder (str): ``"libsndfile"`` or ``"ffmpeg"``.
        subtype (str): how samples are stored, in libsndfile's words.
    """

    path: str
    sample_rate: int
    channels: int
    frames: int
    tags: dict = field(default_factory=dict, compare=False)
    decoder: str = "libsndfile"
    subtype: str = ""


def probe(path):
    """Read the header of an audio file.

    Returns:
        AudioInfo

    Raises:
        AudioError: if it is missing, empty, truncated, or no audio.
    """
    path = Path(path)
    if path.is_dir():
        raise AudioError(path, "is a folder, not an audio file")
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        raise AudioError(path, "does not exist") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}") from None
    if size == 0:
        raise AudioError(path, "is empty (0 bytes)")
    info = _probe_libsndfile(path) or _probe_ffmpeg(path)
    promised = _container_size(head)
    if promised > size + 8:
        raise AudioError(path, f"is truncated: its header promises {promised} bytes and there are {size}")
    if info.decoder == "libsndfile" and info.frames == 0:
        raise AudioError(path, "holds no samples (its length is zero)")
    return info


def _probe_libsndfile(path):
    try:
        with soundfile.SoundFile(path) as file:
            tags = {name: getattr(file, name) for name in _TAGS}
            tags = {name: value for name, value in tags.items() if value}
            return AudioInfo(str(path), file.samplerate, file.channels, file.frames, tags, subtype=file.subtype)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: the suffix says raw samples without a header
        return None


def _probe_ffmpeg(path):
    if not ffmpeg.available():
        raise AudioError(path, "is in no format that libsndfile reads; with ffmpeg installed, more formats are tried")
    rate, channels, frames, tags = ffmpeg.probe(path)
    tags["tracknumber"] = tags.get("track", "")
    tags = {name: tags[name] for name in _TAGS if tags.get(name)}
    return AudioInfo(str(path), rate, channels, frames, tags, decoder="ffmpeg")


def _container_size(head):
    """Bytes that the header of a RIFF, RF64, AIFF or W64 file promises; 0 where it does not say.

    libsndfile shortens such a file to what is there and says nothing.
    """
    if len(head) < 32:
        return 0
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        size = struct.unpack("<I", head[4:8])[0]
        return size + 8 if size < 0xFFFFFF00 else 0  # all ones: written to a pipe, length unknown
    if head[:4] == b"RF64" and head[12:16] == b"ds64":
        return struct.unpack("<Q", head[20:28])[0] + 8
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return struct.unpack(">I", head[4:8])[0] + 8
    if head[:4] == b"riff":
        return struct.unpack("<Q", head[16:24])[0]
    return 0


class AudioReader:
    """An audio file as a stream of blocks.

    Args:
        path (str or Path): the file.
        start (int): first frame.
        frames (int): how many frames, all to the end if negative. A file that ends earlier gives what there is.
        block_len (int): frames per block.

    Attributes:
        info (AudioInfo): of the whole file.
        n_read (int): frames given so far.

    Raises:
        AudioError: as :func:`probe` does, or if the file ends before ``start``.
    """

    def __init__(self, path, start=0, frames=-1, block_len=_BLOCK_LEN):
        self.info, self.start, self.frames, self.block_len = probe(path), start, frames, block_len
        self.n_read = 0
        if self.info.decoder == "libsndfile" and start >= self.info.frames:
            raise AudioError(path, self._too_late(self.info.frames))

    def _too_late(self, length):
        rate = self.info.sample_rate
        return f"ends at {length / rate:g} s, before the start that was asked for, {self.start / rate:g} s"

    def __iter__(self):
        """Yield float32 tensors (channels, time).

        Raises:
            AudioError: where the file is damaged or truncated, or a sample is not a finite number.
        """
        self.n_read = 0
        decode = self._libsndfile if self.info.decoder == "libsndfile" else self._ffmpeg
        for block in decode():
            if not np.isfinite(block).all():
                bad = int(np.argmin(np.isfinite(block).all(axis=1))) + self.start + self.n_read
                where = f"at {bad / self.info.sample_rate:g} s"
                raise AudioError(self.info.path, f"has a sample that is NaN or infinite, {where}")
            self.n_read += len(block)
            yield torch.from_numpy(np.ascontiguousarray(block.T))

    def _libsndfile(self):
        wanted = self.info.frames - self.start if self.frames < 0 else min(self.frames, self.info.frames - self.start)
        done = 0
        try:
            with soundfile.SoundFile(self.info.path) as file:
                file.seek(self.start)
                while done < wanted:
                    block = file.read(min(self.block_len, wanted - done), dtype="float32", always_2d=True)
                    if not len(block):
                        break
                    done += len(block)
                    yield block
        except soundfile.LibsndfileError as error:
            reason = error.error_string or "decoding failed"
            raise AudioError(self.info.path, f"is damaged or truncated: {reason}") from None
        if done < wanted:
            promised = f"its header promises {self.info.frames} frames and decoding ends after {self.start + done}"
            raise AudioError(self.info.path, f"is truncated: {promised}")

    def _ffmpeg(self):
        at, stop = 0, float("inf") if self.frames < 0 else self.start + self.frames
        for block in ffmpeg.decode(self.info.path, self.info.channels, self.block_len):
            part = block[max(0, self.start - at) : max(0, int(min(stop - at, len(block))))]
            at += len(block)
            if len(part):
                yield part
            if at >= stop:
                return
        if at == 0:
            raise AudioError(self.info.path, "holds no samples (its length is zero)")
        if at <= self.start:
            raise AudioError(self.info.path, self._too_late(at))
        if at < 0.9 * self.info.frames - self.info.sample_rate:
            stated, found = (frames / self.info.sample_rate for frames in (self.info.frames, at))
            raise AudioError(self.info.path, f"is truncated: it states {stated:.1f} s and ends at {found:.1f} s")


def read_audio(path, start=0, frames=-1):
    """Read a file, or a part of it, into memory.

    Args:
        path (str or Path): any format that libsndfile or ffmpeg reads.
        start (int): first frame.
        frames (int): how many, all to the end if negative.

    Returns:
        tuple: float32 Tensor (channels, time), sample rate in Hz.

    Raises:
        AudioError: if the file cannot be used.
    """
    reader = AudioReader(path, start, frames)
    return torch.cat(list(reader), dim=-1), reader.info.sample_rate


def check_audio(path, sample_rate=None, channels=None, frames=None):
    """Read a file through and compare it with what is expected; memory does not grow with its length.

    Returns:
        AudioInfo: with the number of frames that were really there.

    Raises:
        AudioError: if the file is missing, empty, truncated, no audio, not finite, or not as expected.
    """
    reader = AudioReader(path)
    found = reader.info
    if sample_rate is not None and found.sample_rate != sample_rate:
        raise AudioError(path, f"has a sample rate of {found.sample_rate} Hz where {sample_rate} Hz are expected")
    if channels is not None and found.channels != channels:
        raise AudioError(path, f"has {found.channels} channel(s) where {channels} are expected")
    n_read = sum(block.shape[-1] for block in reader)
    if frames is not None and n_read != frames:
        raise AudioError(path, f"has {n_read} samples per channel where {frames} are expected")
    return AudioInfo(found.path, found.sample_rate, found.channels, n_read, found.tags, found.decoder, found.subtype)
