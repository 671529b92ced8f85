"""Chunks of WAV files, fast: each header is parsed once, chunks come by ``pread`` on descriptors that stay open."""

import os
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from ..common.errors import AudioError, UserError

#: (format tag, bits per sample) that we decode ourselves -> sample type; everything else goes through soundfile.
ENCODINGS = {(1, 16): "<i2", (1, 24): "<i3", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}
_EXTENSIBLE = 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # what programs write that could not seek back to fill the size in


class WavInfo(NamedTuple):
    """Header of a WAV file: ``frames`` per channel, the data's byte ``offset``, ``encoding`` (None: soundfile's)."""

    sample_rate: int
    channels: int
    frames: int
    offset: int
    encoding: str | None

    @property
    def bytes_per_frame(self) -> int:
        """Of what we decode ourselves; 0 of what soundfile decodes."""
        return self.channels * int(self.encoding[-1]) if self.encoding else 0

    @property
    def is_float(self) -> bool:
        return self.encoding is None or self.encoding[1] == "f"


def wav_info(path: str | Path) -> WavInfo:
    """Read the header of a WAV file and check that the file holds as much as the header says.

    Args:
        path: a WAV file of any encoding that libsndfile reads.

    Raises:
        AudioError: if the file is missing, unreadable, empty, truncated or no WAV file.
    """
    try:
        size = os.stat(path).st_size
        with open(path, "rb") as file:
            return _parse(file, path, size)
    except FileNotFoundError:
        raise AudioError(path, "is missing") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror})") from None


def _parse(file: BinaryIO, path: str | Path, size: int) -> WavInfo:
    if size == 0:
        raise AudioError(path, "is empty (0 bytes); a WAV file was expected")
    riff = file.read(12)
    if riff[:4] == b"RF64":
        return _soundfile_info(path)
    if riff[:4] != b"RIFF" or riff[8:12] != b"WAVE":
        raise AudioError(path, f"is not a WAV file (it begins with {riff[:12]!r})")
    form = None
    while len(head := file.read(8)) == 8:
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        if name == b"data" and form:
            return _with_data(path, form, file.tell(), length, size)
        body = file.read(length + length % 2)
        if name == b"fmt " and len(body) >= 16:
            form = body
    raise AudioError(path, "is a truncated WAV file: it ends before its audio begins")


def _with_data(path: str | Path, form: bytes, offset: int, length: int, size: int) -> WavInfo:
    tag, channels, sample_rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == _EXTENSIBLE and len(form) >= 26:
        tag = struct.unpack("<H", form[24:26])[0]
    encoding = ENCODINGS.get((tag, bits))
    length = size - offset if length == _UNKNOWN_SIZE else length
    if length > size - offset:
        raise AudioError(
            path, f"is truncated: its header promises {length} bytes of audio, {max(size - offset, 0)} are there"
        )
    if encoding is None or not channels:
        return _soundfile_info(path)
    frames = length // (channels * bits // 8)
    if frames == 0:
        raise AudioError(path, "holds no audio (0 samples)")
    return WavInfo(sample_rate, channels, frames, offset, encoding)


def _soundfile_info(path: str | Path) -> WavInfo:
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(path, f"cannot be read as a WAV file ({error})") from None
    return WavInfo(info.samplerate, info.channels, info.frames, 0, None)


class WavReader:
    """Reads chunks of many WAV files without opening one twice.

    Headers are kept for good, and at most ``max_open`` descriptors, the longest unused being closed first. A reader
    may be pickled or forked: ``pread`` shares no position between processes, and a pickled reader opens its files anew.
    A file must not change while it is read, and a reader serves one thread.

    Args:
        max_open: most files that stay open at a time.
    """

    def __init__(self, max_open: int = 384) -> None:
        self.max_open = max_open
        self._infos: dict[str | Path, WavInfo] = {}
        self._open: OrderedDict[str | Path, int] = OrderedDict()
        self._buffer = bytearray()

    def info(self, path: str | Path) -> WavInfo:
        """:func:`wav_info` of ``path``, remembered."""
        info = self._infos.get(path)
        if info is None:
            info = self._infos[path] = wav_info(path)
        return info

    def read(
        self, path: str | Path, start: int = 0, frames: int | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Samples ``[start, start + frames)`` as float32 in [-1, 1).

        Args:
            path: the file.
            start: first sample.
            frames: samples per channel; to the end by default.
            out: where to put them, float32.

        Shape: (channels, frames)

        Raises:
            AudioError: if the file cannot be read, gives fewer samples than it should, or holds a NaN.
        """
        info = self.info(path)
        frames = info.frames - start if frames is None else frames
        if start < 0 or start + frames > info.frames:
            raise AudioError(path, f"samples {start} to {start + frames} were asked for, it has {info.frames}")
        if out is None:
            out = np.empty((info.channels, frames), np.float32)
        elif out.shape != (info.channels, frames):
            raise AudioError(path, f"has {info.channels} channels; {len(out)} were expected")
        if info.encoding is None:
            out[:] = _soundfile_read(path, start, frames)
        else:
            _decode(self._bytes(path, info, start, frames), info.encoding, out)
        if info.is_float and not np.isfinite(out).all():
            raise AudioError(path, f"holds NaN or infinite samples between samples {start} and {start + frames}")
        return out

    def _bytes(self, path: str | Path, info: WavInfo, start: int, frames: int) -> memoryview:
        """The bytes of these samples, in a buffer that the next call overwrites (a new one would cost page faults)."""
        wanted = frames * info.bytes_per_frame
        if len(self._buffer) < wanted:
            self._buffer = bytearray(wanted)
        data = memoryview(self._buffer)[:wanted]
        try:
            got = os.preadv(self._descriptor(path), [data], info.offset + start * info.bytes_per_frame)
        except OSError as error:
            raise AudioError(path, f"cannot be read ({error.strerror})") from None
        if got != wanted:
            raise AudioError(path, f"gave {got} of {wanted} bytes: it was cut since its header was read")
        return data

    def _descriptor(self, path: str | Path) -> int:
        descriptor = self._open.pop(path, None)
        if descriptor is None:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            if len(self._open) >= self.max_open:
                os.close(self._open.popitem(last=False)[1])
        self._open[path] = descriptor
        return descriptor

    def close(self) -> None:
        """Close every file; the next read opens it again."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_buffer": bytearray()}

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.close()


def _decode(data: memoryview, encoding: str, out: np.ndarray) -> None:
    """Interleaved bytes -> ``out``, (channels, frames) float32 in [-1, 1)."""
    if encoding == "<i2" and len(out) == 2 and sys.byteorder == "little":
        frames = np.frombuffer(
            data, np.int32
        )  # left in the low half, right in the high: twice as fast as a strided copy
        np.copyto(out[0], frames.astype(np.int16))
        np.copyto(out[1], frames >> 16, casting="unsafe")
        out *= np.float32(2.0**-15)
        return
    if encoding == "<i3":
        wide = np.zeros((len(data) // 3, 4), np.uint8)  # little-endian 32-bit words whose lowest byte is 0
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")
    else:
        samples = np.frombuffer(data, encoding)
    np.copyto(out, samples.reshape(-1, len(out)).T, casting="unsafe")
    if encoding[1] == "i":
        out *= np.float32(2.0 ** (1 - 8 * samples.itemsize))


def _soundfile_read(path: str | Path, start: int, frames: int) -> np.ndarray:
    try:
        audio, _ = soundfile.read(str(path), frames, start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(path, f"cannot be read ({error})") from None
    if len(audio) != frames:
        raise AudioError(path, f"gave {len(audio)} of {frames} samples: it is truncated")
    return audio.T


def write_wav(path: str | Path, audio: npt.ArrayLike, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Write ``audio`` (channels, frames) whole or not at all; raises ValueError if 16 bit would clip it."""
    from ..common.files import atomic_path

    audio = np.asarray(audio)
    if subtype.startswith("PCM") and np.abs(audio).max(initial=0) > 1:
        raise UserError(
            f"{Path(path).name}: samples beyond full scale ({np.abs(audio).max():.3f}) do not fit {subtype}"
        )
    with atomic_path(path) as partial:
        soundfile.write(str(partial), audio.T, sample_rate, subtype=subtype)
