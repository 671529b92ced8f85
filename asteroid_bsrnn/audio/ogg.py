"""Ogg files page by page: where each of the streams that were joined begins, and whether a page is damaged or missing.

A decoder may take the first stream for the whole file, or give the joints a few samples too many. Here every stream is
found, to be decoded on its own, with its own pre-skip and end (RFC 3533, RFC 7845).
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .view import Bytes

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_FIRST = 2  # bit of a page's header type: a stream begins
_NO_POSITION = 2**64 - 1


@dataclass
class Link:
    """One of the streams that follow each other.

    Args:
        codec: ``"vorbis"``, ``"opus"`` or ``"other"``.
        channels, rate: rate in Hz, of positions.
        wanted: rate of the sound that was encoded, in Hz.
        family: the channel mapping of Opus; 0 and 1 are speakers in the order of Vorbis, others have no order.
        serial: number of the stream.
        start, stop: its bytes.
        page: number of the last page that was seen.
        position: samples up to there.
    """

    codec: str
    channels: int
    rate: int
    wanted: int
    family: int
    serial: int
    start: int
    stop: int = 0
    page: int = 0
    position: int = 0


class Page(NamedTuple):
    """One page: its length in bytes, header type, position, stream, number, first byte of its packets."""

    length: int
    kind: int
    position: int
    serial: int
    number: int
    body: int
    sound: bool


@dataclass(frozen=True)
class Ogg:
    """What a walk over all pages found.

    Args:
        links: the streams, one behind the other; None where some run side by side (video).
        fault: what is wrong in the middle, with its place, as a sentence without subject; empty if nothing is.
        cut: what says that the end is missing, empty if nothing does.
    """

    links: list[Link] | None
    fault: str = ""
    cut: str = ""


def _checksum(page: bytes) -> int:
    """CRC-32 of Ogg: zlib's polynomial with bits the other way round, begun with zeros."""
    turned = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)


def read_page(data: Bytes, at: int) -> Page | None:
    """The page that begins at a byte; None if none does or its end is missing. ``sound``: its checksum is right."""
    head = data[at : at + 27]
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    lacing = data[at + 27 : at + 27 + head[26]]
    length = 27 + head[26] + sum(lacing)
    if len(lacing) < head[26] or at + length > len(data):
        return None
    position, serial, number, stated = (
        int.from_bytes(head[begin:end], "little") for begin, end in ((6, 14), (14, 18), (18, 22), (22, 26))
    )
    page = data[at : at + 22] + bytes(4) + data[at + 26 : at + length]
    return Page(length, head[5], position, serial, number, at + 27 + head[26], _checksum(page) == stated)


def walk(path: str | Path) -> Ogg:
    """Walk over all pages of a file that begins with ``OggS``."""
    with Bytes(path) as data:
        return _Walk(data).found()


class _Walk:
    def __init__(self, data: Bytes) -> None:
        self.data, self.fault, self.beside = data, "", False
        self.links: list[Link] = []
        self.end = self._pages()

    def found(self) -> Ogg:
        """The result of the walk."""
        cut = ""
        if self.data[self.end : self.end + 4] == b"OggS":
            cut = f"its last page has {len(self.data) - self.end} bytes and lacks some"
        for link, stop in zip(self.links, [*(link.start for link in self.links[1:]), self.end]):
            link.stop = stop
        return Ogg(None if self.beside else self.links or None, self.fault, cut)

    def _pages(self) -> int:
        """Walk to the end; returns where the last whole page ends."""
        at = 0
        while at < len(self.data):
            page = read_page(self.data, at)
            if page is not None and page.sound:
                self._take(page, at)
                at += page.length
                continue
            behind = self.data.find(b"OggS\0", at + 1)
            if behind < 0:
                if page is not None:
                    self._note("a page is damaged", at)
                return at
            self._note("a page is damaged", at)
            at = behind
        return at

    def _take(self, page: Page, at: int) -> None:
        if page.kind & _FIRST:
            self.beside = self.beside or bool(self.links and not self.links[-1].page)
            self.links.append(self._identify(page, at))
        elif self.links and page.serial == self.links[-1].serial:
            link = self.links[-1]
            if page.number != link.page + 1 and link.position:  # a recorded broadcast has a gap behind its head
                self._note("pages are missing", at)
            link.page = max(page.number, 1)
            link.position = link.position if page.position == _NO_POSITION else page.position

    def _identify(self, page: Page, at: int) -> Link:
        packet = self.data[page.body : page.body + 32]
        if packet[:7] == b"\1vorbis":
            rate = int.from_bytes(packet[12:16], "little")
            return Link("vorbis", packet[11], rate, rate, 1, page.serial, at)
        if packet[:8] == b"OpusHead":
            return Link("opus", packet[9], 48000, int.from_bytes(packet[12:16], "little"), packet[18], page.serial, at)
        return Link("other", 0, 1, 1, 1, page.serial, at)

    def _note(self, reason: str, at: int) -> None:
        if not self.fault:
            known = all(link.codec != "other" for link in self.links)
            seconds = sum(link.position / (link.rate or 1) for link in self.links)
            self.fault = f"is damaged at {f'about {seconds:.2f} s' if known else f'byte {at}'}: {reason}"
