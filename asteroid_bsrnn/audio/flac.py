"""FLAC files, decoded to their end: with and without a count of samples, several joined, tags before and behind."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..common.errors import AudioError
from . import channel_order as layout
from . import mpeg, sndfile
from .source import Source, check_joined, info_of
from .view import Bytes, View

_BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")


def begins_behind_tag(path: str | Path) -> bool:
    """Whether FLAC follows an ID3v2 tag."""
    with Bytes(path) as data:
        length = 10 + mpeg.syncsafe(data[6:10])
        return data[length : length + 4] == b"fLaC"


def flac_source(path: str | Path) -> Source | None:
    """FLAC, also several joined: their sample counts are taken out, so that each is decoded to its end."""
    with Bytes(path) as data:
        begins = list(data.search(_BEGIN))
        end = len(data) - 128 if data[-128:-125] == b"TAG" else len(data)
        heads = [data[begin : begin + 42] for begin in begins]
    if not begins:
        return None
    parts, infos = [], []
    for head, begin, stop in zip(heads, begins, [*begins[1:], end]):
        pieces = ((begin, begin + 21), bytes([head[21] & 0xF0]) + bytes(4), (begin + 26, stop))
        stated = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
        make_file = partial(View, path, pieces)
        stream = sndfile.open_stream(make_file())
        if stream is None:
            return None
        with stream:
            infos.append(info_of(path, stream, frames=stated, layout=_flac_layout(path, stream.channels))[0])
        parts.append((make_file, stated, head[26:42]))
    check_joined(path, infos)
    total = sum(info.frames for info in infos) if all(info.frames for info in infos) else 0
    info = replace(infos[0], frames=total)
    return Source(info, lambda block_len, begin: _decode_flac(path, parts, block_len))


def _decode_flac(
    path: str | Path, parts: Sequence[tuple[Callable[[], View], int, bytes]], block_len: int
) -> Iterator[np.ndarray]:
    done = 0
    for make_file, stated, md5 in parts:
        here = 0
        with sndfile.reopen(make_file, path) as stream:
            try:
                for block in sndfile.read_on(stream, path, block_len, done):
                    here += len(block)
                    done += len(block)
                    yield block
            except sndfile.Damaged:
                if not stated or here < stated:  # what no decoder understands behind the last frame is no damage
                    raise
        if here < stated and sndfile.same_sum(make_file, md5) is False:
            raise AudioError(path, f"is truncated: its header promises {stated} frames and decoding ends after {here}")


def _flac_layout(path: str | Path, channels: int) -> int:
    """Mask of a FLAC file: the usual one unless a tag says otherwise."""
    if channels < 3:
        return 0
    import mutagen

    try:
        return int(mutagen.File(path)["waveformatextensible_channel_mask"][0], 0)
    except (mutagen.MutagenError, KeyError, TypeError, ValueError, IndexError):
        return layout.DEFAULT.get(channels, 0)
