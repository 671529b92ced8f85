"""A recording that can be decoded, and what all kinds of them share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..common.errors import AudioError
from . import sndfile
from .info import AudioInfo
from .mpeg import Mpeg
from .ogg import Ogg
from .view import View


class Source:
    """A recording that can be decoded from a sample on.

    Args:
        info: facts.
        decode: ``decode(block_len, begin)`` yields all blocks from sample ``begin`` on, (time, channels).
        seeks: whether ``decode`` can begin elsewhere than at 0.

    Attributes:
        at: samples decoded so far, of the whole recording.
        remarks: what was wrong though it could be read.
    """

    def __init__(
        self, info: AudioInfo, decode: Callable[[int, int], Iterable[np.ndarray]], seeks: bool = False
    ) -> None:
        self.info, self.decode, self.seeks = info, decode, seeks
        self.at, self.remarks = 0, list(info.remarks)

    def blocks(self, start: int, block_len: int) -> Iterator[np.ndarray]:
        """Yield float32 blocks (time, channels) from sample ``start`` on."""
        self.at = start if self.seeks else 0
        for block in self.decode(block_len, self.at):
            part = block[max(0, start - self.at) :]
            self.at += len(block)
            if len(part):
                yield part

    def complain(self, line: str) -> None:
        """Take down the first complaint of a decoder that goes on."""
        if not self.remarks:
            self.remarks.append(f"is damaged at about {self.at / self.info.sample_rate:.1f} s: {line}")


def refuse(path: str | Path, tolerant: bool, sentence: str) -> str:
    """Refuse a file, or give what is said of it when it is read nevertheless."""
    if not tolerant:
        raise AudioError(path, sentence)
    return sentence


def what_is_wrong(found: Mpeg | Ogg) -> str:
    """What a walk over a file found, as a sentence without its subject; empty if nothing is wrong."""
    return found.fault or (found.cut and f"is truncated: {found.cut}")


def info_of(path: str | Path, stream: sndfile.Stream, **changes: Any) -> tuple[AudioInfo, list[int] | None]:
    """(AudioInfo of an open file, order of its channels or None)."""
    order, mask = sndfile.layout_of(stream)
    facts = {"tags": sndfile.tags_of(stream), "subtype": stream.subtype, "layout": mask, **changes}
    return AudioInfo(str(path), stream.samplerate, stream.channels, **{"frames": stream.frames, **facts}), order


def reordered(blocks: Iterable[np.ndarray], order: list[int] | None) -> Iterable[np.ndarray]:
    """Blocks (time, channels) with their channels in another order."""
    return blocks if order is None else (np.ascontiguousarray(block[:, order]) for block in blocks)


def from_libsndfile(
    path: str | Path, make_file: Callable[[], str | View], remarks: tuple[str, ...] = (), estimated: bool = False
) -> Source | None:
    """What libsndfile makes of a file; None if it cannot open it.

    Args:
        path: its name.
        make_file: gives the path or a :class:`~.view.View`, anew for each opening.
        remarks: what is known to be wrong.
        estimated: the length is an estimate, at which libsndfile stops: only an end before it is surely the end.
    """
    stream = sndfile.open_stream(make_file())
    if stream is None:
        return None
    with stream:
        info, order = info_of(path, stream, remarks=remarks)
        fixed_width = stream.subtype.startswith("PCM_") or stream.subtype in ("FLOAT", "DOUBLE", "ULAW", "ALAW")
        seeks = fixed_width and stream.format not in ("MP3", "OGG", "FLAC", "XI")

    def decode(block_len: int, begin: int) -> Iterator[np.ndarray]:
        done = begin
        with sndfile.reopen(make_file, path) as stream:
            if begin:
                soundfile.SoundFile.seek(stream, begin)
            for block in reordered(sndfile.read_on(stream, path, block_len, begin), order):
                done += len(block)
                yield block
        if estimated and done == info.frames:
            raise AudioError(path, "has a length that nothing states; convert it to wav, with lame or sox, first")
        if done < info.frames and not estimated:
            raise AudioError(
                path, f"is truncated: its header promises {info.frames} frames and decoding ends after {done}"
            )

    return Source(info, decode, seeks)


def check_joined(path: str | Path, infos: Sequence[AudioInfo]) -> None:
    """Recordings that are joined in one file must be alike: an AudioError otherwise."""
    for info in infos[1:]:
        if (info.sample_rate, info.channels) != (infos[0].sample_rate, infos[0].channels):
            kinds = (f"{each.sample_rate} Hz with {each.channels} channel(s)" for each in (infos[0], info))
            raise AudioError(path, "joins recordings of different kinds, {} and {}: split it".format(*kinds))
