"""What libsndfile decodes, always from the first sample to the last, and counted."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..common.errors import AudioError
from .channel_order import from_sndfile
from .view import View

_CHANNEL_MAP = 0x1100  # SFC_GET_CHANNEL_MAP_INFO of sndfile.h
_MAPPED = ("WAV", "WAVEX", "RF64", "W64", "CAF")  # libsndfile 1.2 answers for AIFF too, with numbers of no meaning
_STEP = 1 << 13  # samples per call: a failing call gives none of those before the damage
TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright")


class Stream(soundfile.SoundFile):
    """A file that is read on without a seek behind every block, which some formats do not have."""

    def seekable(self) -> bool:
        return False


def name_for(path: str | os.PathLike[str]) -> str | bytes:
    """A path as soundfile takes it: text, or bytes where the name is none of the system's encoding."""
    text = os.fspath(path)
    try:
        text.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def open_stream(file: str | os.PathLike[str] | View) -> Stream | None:
    """Open a path or a :class:`~.view.View`; None if libsndfile cannot."""
    try:
        return Stream(name_for(file) if isinstance(file, (str, os.PathLike)) else file)
    except (soundfile.LibsndfileError, TypeError, OSError):  # TypeError: the suffix says raw samples without a header
        return None


def reopen(make_file: Callable[[], str | View], path: str | Path) -> Stream:
    """Open again what could be opened before.

    Args:
        make_file: gives the file's name or a view of it.
        path: its name, for the error.

    Raises:
        AudioError: if it cannot be opened any more: it was removed or changed meanwhile.
    """
    try:
        stream = open_stream(make_file())
    except OSError:
        stream = None
    if stream is None:
        raise AudioError(path, "cannot be opened again: it was removed or changed while it was read")
    return stream


def tags_of(stream: Stream) -> dict[str, str]:
    """Title, artist, ... of an open file, as far as given."""
    tags = {name: _text(stream, name) for name in TAGS}
    return {name: value for name, value in tags.items() if value}


def _text(stream: Stream, name: str) -> str:
    text = getattr(stream, name)
    if "\N{REPLACEMENT CHARACTER}" in text:  # no UTF-8: what old programs for Windows wrote
        raw = soundfile._snd.sf_get_string(stream._file, soundfile._str_types[name])
        text = soundfile._ffi.string(raw).decode("cp1252", "replace")
    return text


def layout_of(stream: Stream) -> tuple[list[int] | None, int]:
    """(order of channels in WAVE's order or None, mask) of an open file; mask 0 where it states none."""
    if stream.channels < 3 or stream.format not in _MAPPED:
        return None, 0
    numbers = soundfile._ffi.new("int[]", stream.channels)
    size = soundfile._ffi.sizeof("int") * stream.channels
    stated = soundfile._snd.sf_command(stream._file, _CHANNEL_MAP, numbers, size)
    return from_sndfile(list(numbers)) if stated else (None, 0)


def read_on(
    stream: Stream, path: str | Path, block_len: int, begin: int = 0, dtype: str = "float32"
) -> Iterator[np.ndarray]:
    """Yield all blocks from where the stream stands, (time, channels).

    Raises:
        AudioError: where decoding fails, with the time; ``begin`` is what came before, in samples.
    """
    parts: list[np.ndarray] = []
    done = begin
    failed: Damaged | None = None
    while failed is None:
        try:
            part = stream.read(min(block_len, _STEP), dtype=dtype, always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            part, failed = (), Damaged(path, done, stream.samplerate, getattr(error, "error_string", "") or str(error))
        if len(part):
            done += len(part)
            parts.append(part)
        if parts and (not len(part) or sum(map(len, parts)) >= block_len):
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)
            parts = []
        if not len(part) and not failed:
            return
    raise failed


class Damaged(AudioError):
    """Decoding ends early.

    Args:
        path: the file.
        at: samples that came before.
        sample_rate: in Hz.
        reason: in the words of the decoder.
    """

    def __init__(self, path: str | Path, at: int, sample_rate: int, reason: str) -> None:
        self.at, self.sample_rate, self.why = at, sample_rate, reason
        super().__init__(path, f"is damaged or truncated: {reason.rstrip('.')}, at {at / sample_rate:.2f} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.at, self.sample_rate, self.why)


def same_sum(make_file: Callable[[], View], md5: bytes) -> bool | None:
    """Whether all samples of a FLAC file have the sum that its header states; None if it states none."""
    if not any(md5):
        return None
    found = hashlib.md5()
    with Stream(make_file()) as stream:
        n_bytes = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}[stream.subtype]
        for block in read_on(stream, "", 1 << 16, dtype="int32"):
            bytes_ = np.ascontiguousarray(block, "<i4").view(np.uint8).reshape(-1, 4)
            found.update(np.ascontiguousarray(bytes_[:, 4 - n_bytes :]).tobytes())
    return found.digest() == md5
