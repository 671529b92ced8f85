"""MPEG audio (MP3, MP2) counted frame by frame: how long a file is, whatever its Xing or Info header says.

Decoders estimate the length of a file without such a header from its first frame, and believe a wrong one. Here nothing
is decoded: each frame's four bytes say where the next one begins (ISO/IEC 11172-3, 2.4.1.3; 13818-3 for half rates).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .view import Bytes

_KBITS = {  # (half rates, layer) -> kbit/s of the indices 1 to 14
    (False, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (False, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (True, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (True, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_DECODER_DELAY = 529  # samples by which any decoder lags, which the LAME header does not count
Kind = tuple[int, int, int, int]


class Frame(NamedTuple):
    """One frame: ``kind`` is (version, layer, rate, channels), ``length`` is in bytes, ``samples`` per channel."""

    kind: Kind
    length: int
    samples: int


@dataclass(frozen=True)
class Mpeg:
    """What a walk over all frames found.

    Args:
        layer, sample_rate, channels: rate in Hz.
        samples: that all frames but the header frame decode to, per channel.
        stated: frames that the Xing, Info or VBRI header states; None without a header.
        counted: frames but the header frame.
        parts: (first byte, number of bytes) of the runs of frames, without the header frame and tags between.
        delay: samples at the beginning that the encoder added, 0 where nothing says so.
        fault: what is wrong in the middle, with its place, as a sentence without subject; empty if nothing is.
        cut: what says that the end is missing, empty if nothing does.
    """

    layer: int
    sample_rate: int
    channels: int
    samples: int
    stated: int | None
    counted: int
    parts: tuple[tuple[int, int], ...]
    delay: int
    fault: str = ""
    cut: str = ""


def parse_frame(data: bytes | Bytes, at: int) -> Frame | None:
    """The frame whose header stands at a byte; None if none does, or it has a free format."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    half, rate = version != 3, _RATES[version][rate]
    samples = 384 if layer == 1 else 576 if half and layer == 3 else 1152
    slot = 4 if layer == 1 else 1
    n_slots = samples // 8 * 1000 * _KBITS[half, layer][bitrate - 1] // (rate * slot) + (head[2] >> 1 & 1)
    channels = 1 if head[3] >> 6 == 3 else 2
    return Frame((version, layer, rate, channels), n_slots * slot, samples)


def syncsafe(data: bytes) -> int:
    """A number of four bytes with seven bits each, as ID3v2 writes its length."""
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def _tag_length(data: Bytes, at: int) -> int:
    """Bytes of a tag (ID3, APE, Lyrics3) that begins here; 0 if none does."""
    head = data[at : at + 32]
    if head[:3] == b"ID3" and len(head) >= 10:
        return 10 + syncsafe(head[6:10]) + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG":
        return 227 if head[3:4] == b"+" else 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return int.from_bytes(head[12:16], "little") + (32 if head[23] & 0x20 else 0)
    if head[:11] == b"LYRICSBEGIN":
        end = max(data.find(b"LYRICS200", at), data.find(b"LYRICSEND", at))
        return end + 9 - at if end > 0 else 0
    return 0


def _next_frame(data: Bytes, at: int, kind: Kind | None = None, n_more: int = 1) -> int:
    """Where the next frame begins that so many of its kind, or a tag or the end, follow; -1 if there is none."""
    for found in data.search(_SYNC, at, longest=2):
        frame = parse_frame(data, found)
        if frame and (kind is None or frame.kind == kind) and _followed(data, found, frame, n_more):
            return found
    return -1


def _followed(data: Bytes, at: int, frame: Frame, n_more: int) -> bool:
    for _ in range(n_more):
        at += frame.length
        if at == len(data) or _tag_length(data, at):
            return True
        follower = parse_frame(data, at)
        if not follower or follower.kind != frame.kind:
            return False
        frame = follower
    return True


def _is_free(head: bytes) -> bool:
    """Whether this is the head of a frame of a free bit rate, which does not say where the next one begins."""
    usual = head[:2] + bytes([head[2] | 0x10]) + head[3:] if len(head) == 4 else b""
    return bool(usual) and head[2] >> 4 == 0 and parse_frame(usual, 0) is not None


def walk(path: str | Path, within: int = 0) -> Mpeg | None:
    """Walk over all frames of a file, or of the sound that begins at byte ``within`` of a WAV file: there a header frame
    is a frame like others.

    Returns:
        Mpeg, or None if there are no frames of a known size.
    """
    with Bytes(path) as data:
        return _walk(data, within)


def _walk(data: Bytes, within: int) -> Mpeg | None:
    at = within
    while length := _tag_length(data, at):
        at += length
    if _is_free(data[at : at + 4]):
        return None
    at = _next_frame(data, at)
    first = parse_frame(data, at) if at >= 0 else None
    if first is None:
        return None
    stated, size, delay, is_header = None, 0, 0, False
    if not within:
        stated, size, delay, is_header = _header(data[at : at + first.length], first)
    run = _Run(data, at + first.length if is_header else at, first)
    if not run.counted:
        return None
    cut, held = run.cut, sum(length for _, length in run.parts)
    if stated and stated > run.counted and (cut or size > held + 2 * first.length):
        cut = f"its header promises {stated} frames and there are {run.counted}"
    elif stated == run.counted:
        cut = ""
    samples = run.counted * first.samples
    return Mpeg(*first.kind[1:], samples, stated, run.counted, tuple(run.parts), delay, run.fault, cut)


class _Run:
    """Frames from a byte on: how many, where they lie, the first fault, what says that the end is missing."""

    def __init__(self, data: Bytes, at: int, first: Frame) -> None:
        self.counted, self.parts, self.fault, self.cut = 0, [], "", ""
        self.data, self.first, size = data, first, len(data)
        while 0 <= at < size:
            begin = at
            while (frame := parse_frame(data, at)) and frame.kind == first.kind and at + frame.length <= size:
                self.counted, at = self.counted + 1, at + frame.length
            if at > begin:
                self.parts.append((begin, at - begin))
            if frame and frame.kind == first.kind:
                self.cut = f"its last frame has {size - at} of {frame.length} bytes"
                return
            at = at + _tag_length(data, at) if _tag_length(data, at) else self._behind_a_fault(at)

    def _behind_a_fault(self, at: int) -> int:
        """Where frames go on behind what is none; -1 if there are no more."""
        found, other = _next_frame(self.data, at, self.first.kind), _next_frame(self.data, at, None, n_more=3)
        gap, kinds = f"{found - at} bytes are no MPEG audio", ""
        stranger = parse_frame(self.data, other) if other >= 0 else None
        if stranger is not None and (found < 0 or other < found):
            both = (self.first.kind, stranger.kind)
            kinds = " and ".join(f"{kind[2]} Hz with {kind[3]} channel(s)" for kind in both)
        if not self.fault and (found >= 0 or other >= 0):
            place = f"at about {self.counted * self.first.samples / self.first.kind[2]:.2f} s"
            self.fault = (
                f"joins recordings of different kinds, {kinds}, {place}: split it"
                if kinds
                else f"is damaged {place}: {gap}"
            )
        return found


def _header(data: bytes, first: Frame) -> tuple[int | None, int, int, bool]:
    """What a Xing, Info or VBRI header states: frames (None without one), bytes, delay in samples, whether it is one."""
    half, mono = first.kind[0] != 3, first.kind[3] == 1
    at = 4 + ((9 if mono else 17) if half else (17 if mono else 32))
    if first.kind[1] == 3 and data[at : at + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(data[at + 4 : at + 8], "big")
        at, values = at + 8, {}
        for bit, length in ((1, 4), (2, 4), (4, 100), (8, 4)):
            if flags & bit:
                values[bit] = int.from_bytes(data[at : at + length], "big")
                at += length
        delay = int.from_bytes(data[at + 21 : at + 23], "big") >> 4
        lame = data[at : at + 4] in (b"LAME", b"Lavf", b"Lavc")
        return values.get(1, 0), values.get(2, 0), delay + _DECODER_DELAY if lame else 0, True
    if data[36:40] == b"VBRI":
        return int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big"), 0, True
    return None, 0, 0, False
