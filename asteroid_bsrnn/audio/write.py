"""Audio files out: whole or not at all, in exactly the samples that were asked for."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
import torch
from mutagen import MutagenError

from ..common.errors import AudioError, UserError
from ..common.files import atomic_paths
from ..common.registry import check_known
from .sndfile import name_for
from .tags import add_tags, fitting

# (format, bits) -> libsndfile's subtype; bits 32 is float
SUBTYPES = {
    ("wav", 16): "PCM_16",
    ("wav", 24): "PCM_24",
    ("wav", 32): "FLOAT",
    ("flac", 16): "PCM_16",
    ("flac", 24): "PCM_24",
    ("mp3", None): "MPEG_LAYER_III",
}
_DEFAULT_BITS = {"wav": 32, "flac": 24, "mp3": None}
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FLAC_RATE = 655350  # Hz, the most that libsndfile writes
_RF64_DOWNGRADE = 0x1210  # SFC_RF64_AUTO_DOWNGRADE of sndfile.h: a plain wav if its size allows
_ADD_PEAK_CHUNK = 0x1050  # SFC_SET_ADD_PEAK_CHUNK: a chunk of float files that states the time of writing
_RF64_FROM = 4_000_000_000  # bytes; a plain wav ends at 4 GiB


def check_format(
    fmt: str, bits: int | None = None, sample_rate: int | None = None, channels: int | None = None
) -> int | None:
    """Bits per sample of a format that can hold such audio (None for mp3).

    Raises:
        UserError: if it cannot.
    """
    check_known("output format", fmt, _DEFAULT_BITS)
    bits = _DEFAULT_BITS[fmt] if bits is None else bits
    if (fmt, bits) not in SUBTYPES:
        allowed = ", ".join(str(known) for name, known in SUBTYPES if name == fmt and known)
        hint = f"allowed are {allowed}" if allowed else "it has no choice"
        raise UserError(f"{fmt} cannot have {bits} bits per sample: {hint}")
    if fmt == "mp3" and channels is not None and channels > 2:
        raise UserError(f"mp3 holds 1 or 2 channels, not {channels}: choose wav or flac")
    if fmt == "mp3" and sample_rate is not None and sample_rate not in _MP3_RATES:
        raise UserError(f"mp3 cannot have a sample rate of {sample_rate} Hz: choose wav or flac")
    if fmt == "flac" and sample_rate is not None and sample_rate > _FLAC_RATE:
        raise UserError(f"flac cannot have a sample rate of {sample_rate} Hz, at most {_FLAC_RATE}: choose wav")
    if fmt == "flac" and channels is not None and channels > 8:
        raise UserError(f"flac holds up to 8 channels, not {channels}: choose wav")
    return bits


class AudioWriter:
    """Writes a file block by block; it appears under its name when the ``with`` block ends without an error.

    Args:
        path: the suffix gives the format: ``.wav``, ``.flac`` or ``.mp3``.
        sample_rate: in Hz.
        channels: how many.
        bits: 16, 24, or 32 (float, wav only). Default 32 for wav, 24 for flac.
        tags: as :class:`~.info.AudioInfo` has them; wav has room for 2000 bytes of each.
        frames: expected length; a wav beyond 4 GB becomes RF64. None: unknown, which the end will show.
        layout: mask of WAVE_FORMAT_EXTENSIBLE for more than two channels, 0 if unknown.
        partial: write there, for a caller who lets several files appear together.

    Raises:
        UserError: if the format cannot hold such audio.
        AudioError: if the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        channels: int,
        bits: int | None = None,
        tags: Mapping[str, str] | None = None,
        frames: int | None = 0,
        layout: int = 0,
        partial: Path | None = None,
    ) -> None:
        self.path, self.partial = Path(path), partial
        self.fmt = self.path.suffix.lower().lstrip(".")
        self.bits = check_format(self.fmt, bits, sample_rate, channels)
        self.unknown = self.fmt == "wav" and frames is None
        large = self.unknown or (self.fmt == "wav" and (frames or 0) * channels * (self.bits or 0) // 8 > _RF64_FROM)
        self.layout = layout if channels > 2 else 0
        self.settings = {"samplerate": sample_rate, "channels": channels, "subtype": SUBTYPES[self.fmt, self.bits]}
        plain = "WAVEX" if self.fmt == "wav" and self.layout else self.fmt.upper()
        self.settings["format"] = "RF64" if large else plain
        self.tags, self.frames = tags or {}, 0

    def __enter__(self) -> "AudioWriter":
        with ExitStack() as stack:
            self.target = self.partial or stack.enter_context(atomic_paths([self.path]))[0]
            try:
                self.file = soundfile.SoundFile(name_for(self.target), "w", **self.settings)
            except soundfile.LibsndfileError:
                open(self.target, "wb").close()  # raises with the reason that libsndfile does not give
                raise self._refused() from None
            soundfile._snd.sf_command(
                self.file._file, _ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0
            )  # equal sound, equal bytes
            if self.unknown:
                soundfile._snd.sf_command(self.file._file, _RF64_DOWNGRADE, soundfile._ffi.NULL, 1)
            for name, value in fitting(self.tags, self.fmt).items():
                setattr(self.file, name, value)
            stack.push(self._verify)
            stack.callback(self.file.close)
            self.stack = stack.pop_all()
        return self

    def write(self, block: torch.Tensor | np.ndarray) -> None:
        """Append a block: Tensor or array (channels, time) of floats, full scale at 1, or of int32 if the file has
        16 or 24 bits: its own integer values, written unchanged."""
        samples, bits = np.asarray(block).T, self.bits or 32
        if samples.dtype == np.int32:
            samples = samples << (32 - bits)
        elif bits in (16, 24):
            top = 2 ** (bits - 1)
            samples = np.clip(np.rint(samples.astype("f8") * top), -top, top - 1).astype("i4") << (32 - bits)
        try:
            self.file.write(np.ascontiguousarray(samples))
        except (AssertionError, soundfile.LibsndfileError):  # python-soundfile asserts that all was written
            raise self._refused() from None
        self.frames += len(samples)

    def _refused(self) -> AudioError:
        return AudioError(self.path, "could not be written: no space left on the disk, or a limit on file sizes")

    def _verify(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if self.fmt != "mp3" and soundfile.info(name_for(self.target)).frames != self.frames:
            raise self._refused()
        try:
            add_tags(self.target, self.fmt, self.tags, self.layout)
        except (OSError, MutagenError):
            raise self._refused() from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self.stack.__exit__(kind, error, trace)
