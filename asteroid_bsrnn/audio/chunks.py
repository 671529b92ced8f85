"""Containers of plain samples (WAV, RF64, W64, AIFF, CAF, AU): how long their sound is on the disk.

A program that writes into a pipe, dies, or passes 4 GiB leaves a size that is no size. What is on the disk counts; the
sound is called truncated only where the header states a size and the file ends before it.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .view import Piece

_W64_TAILS = (bytes.fromhex("f3acd3118cd100c04f8edb8a"), bytes.fromhex("2f91cf11a5d628db04c10000"))  # of its GUIDs
_RIFF_GUID = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_NAMES = b"""LISTINFOid3 ID3 bextcue smplinstfactPEAKiXML_PMXacidJUNKjunkPAD FLLRafspcartaxmlchnalevlplstnotelabladtlDISP
umidminfelm1regnovwfstrcMARKINSTCOMTNAMEAUTHANNO(c) APPLMIDICHANFVERCOMMchanstrgfreeinfouuidmidiovvwpeakmarkkukipakt"""
_KNOWN = frozenset(line[at : at + 4] for line in _NAMES.splitlines() for at in range(0, len(line), 4))
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")
_NEAR = 1 << 16  # placeholders lie so near to 2 GiB and 4 GiB: 0x7ffff024, 0x7fffffff, 0x80000023, 0xffffffff, ...
_NextChunk = Callable[[BinaryIO, int], tuple[bytes, int]]
_Field = tuple[int, str, Callable[[int], int]]  # byte, layout, and what stands there for a length of the sound


@dataclass(frozen=True)
class Sound:
    """Where the samples of a container lie.

    Args:
        start, length: bytes; the length is what counts.
        pieces: of a :class:`~.view.View` with a header that states this length; empty if the file's does.
        remark: what was wrong with the stated size, empty if nothing was.
        cut: what says that samples are missing at the end, empty if nothing does.
        tag: the WAVE format tag, 0 in other containers.
    """

    start: int
    length: int
    pieces: tuple[Piece, ...] = ()
    remark: str = ""
    cut: str = ""
    tag: int = 0


@dataclass(frozen=True)
class _Stated:
    """What a header says of its sound.

    Args:
        start, length: bytes, as stated.
        bits: of the field with the length.
        fields: what to write where for another length, in the order of the file.
        chunk: ``chunk(file, byte)`` gives name and end of a chunk that may follow.
        tag: the WAVE format tag.
        form: the WAVE format of a plain RIFF file, or of a W64 file that libsndfile misreads.
        lead: bytes before the first sample that count as sound.
    """

    start: int
    length: int
    bits: int
    fields: list[_Field]
    chunk: _NextChunk
    tag: int = 0
    form: bytes = b""
    lead: int = 0


def find_sound(path: str | Path) -> Sound | None:
    """Measure the sound of a container.

    Returns:
        Sound, or None if the file is of another kind or its chunks cannot be followed.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(40)
        for recognises, read in _KINDS:
            if recognises(head):
                return _settle(file, stated, size) if (stated := read(file, head, size)) else None
    return None


def _settle(file: BinaryIO, stated: _Stated, size: int) -> Sound:
    there, told, remark, cut = max(0, size - stated.start), stated.length, "", ""
    length = told
    if not (told <= there and _ends_well(file, stated, told, size)):
        length, remark = there, "its header states no length: all that is on the disk was read"
        if not _is_placeholder(told - stated.lead, stated.bits):
            length, remark, cut = _judge(file, stated, there, size)
    elif _read(file, stated.start + told, 4) in (b"RIFF", b"RIFX", b"FORM"):
        remark = "a second recording follows in it, which was not read"
    pieces = _pieces(file, stated, length, size) if remark or cut or (stated.form and stated.bits == 64) else ()
    return Sound(stated.start, length, pieces, remark, cut, stated.tag)


def _judge(file: BinaryIO, stated: _Stated, there: int, size: int) -> tuple[int, str, str]:
    """Length, remark and cut where the stated size is no placeholder and does not fit."""
    told = stated.length
    if stated.bits == 32 and there >= 2**32:
        wraps = range(told + (there - told) // 2**32 * 2**32, told, -(2**32))
        found = next((length for length in wraps if _ends_well(file, stated, length, size)), there)
        return found, "its header cannot say a length beyond 4 GiB: all that is on the disk was read", ""
    if told > there + min(stated.start, 128):
        return there, "", f"its header promises {told} bytes of sound and there are {there}"
    if told > there:
        return there, f"its header states {told - there} bytes more than there are", ""
    file.seek(stated.start + told)
    behind = file.read(4096)
    if behind.startswith(_TAGS) or not behind.strip(b"\0") or there - told < 16:
        return told, "", ""
    return there, f"its header states {told} bytes of sound and {there} are on the disk: all of them were read", ""


def _is_placeholder(told: int, bits: int) -> bool:
    if bits == 64:
        return told <= 0 or told >= 2**62
    near = (0x7F000000, 0x7FFFFFFF, 0xFFFFFFFF)
    return told <= 0 or any(abs(told - value) <= _NEAR for value in near)


def _ends_well(file: BinaryIO, stated: _Stated, length: int, size: int) -> bool:
    """Whether the file ends behind the sound, or nothing but chunks follow."""
    at = stated.start + length
    for end in (at, at + 1, at + -at % 8 if stated.bits == 64 else at):
        while end < size - 1:
            name, behind = stated.chunk(file, end)
            if name in _KNOWN:
                return True
            if not name or behind <= end or behind > size + 1:
                break
            end = behind
        else:
            return True
    return False


def _name(data: bytes) -> bytes:
    """A chunk's name if these four bytes can be one."""
    return data if len(data) == 4 and all(32 <= byte < 127 for byte in data) else b""


def _reader(layout: str) -> _NextChunk:
    """chunk(file, at) for headers of a name and a size in this layout."""

    def chunk(file: BinaryIO, at: int) -> tuple[bytes, int]:
        file.seek(at)
        head = file.read(4 + struct.calcsize(layout))
        if len(head) < 4 + struct.calcsize(layout):
            return b"", 0
        length = struct.unpack(layout, head[4:])[0]
        return _name(head[:4]), at + len(head) + length + (length % 2 if layout[1] != "q" else 0)

    return chunk


def _chunks(file: BinaryIO, at: int, size: int, layout: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte of the body, length) of chunks from a byte on."""
    head_len, chunk = 4 + struct.calcsize(layout), _reader(layout)
    while at + head_len <= size:
        name, behind = chunk(file, at)
        if not name and at % 2 == 0:  # some writers forget to fill odd chunks up
            at -= 1
            name, behind = chunk(file, at)
        if not name:
            return
        file.seek(at + 4)
        length = struct.unpack(layout, file.read(head_len - 4))[0]
        yield name, at + head_len, length
        if behind <= at:
            return
        at = behind


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _riff(file: BinaryIO, head: bytes, size: int) -> _Stated | None:
    layout = ">I" if head[:4] == b"RIFX" else "<I"
    form, where = b"", 0
    sizes: int | None = None
    for name, at, length in _chunks(file, 12, size, layout):
        if name == b"ds64":
            sizes, where = struct.unpack("<Q", _read(file, at + 8, 8))[0], at
        elif name == b"fmt ":
            form = _read(file, at, min(length, 4096))
        elif name == b"data" and len(form) >= 16:
            told = sizes if sizes is not None and length == 0xFFFFFFFF else length
            bits = 64 if sizes is not None else 32
            tag = struct.unpack(layout[0] + "H", form[:2])[0]
            if tag == 0xFFFE and len(form) >= 26:
                tag = struct.unpack(layout[0] + "H", form[24:26])[0]
            frame = max(1, struct.unpack(layout[0] + "H", form[12:14])[0])
            fields = _ds64_fields(where, at, frame) if where else _size_fields(at, layout)
            return _Stated(at, told, bits, fields, _reader(layout), tag, form if layout == "<I" else b"")
    return None


def _size_fields(at: int, layout: str) -> list[_Field]:
    """The size of the whole file at byte 4, and that of the chunk whose body begins at ``at``."""
    return [(4, layout, lambda real: at + real - 8), (at - 4, layout, lambda real: real)]


def _ds64_fields(where: int, at: int, frame: int) -> list[_Field]:
    """The three sizes of an RF64 file, in its chunk whose body begins at ``where``."""
    sizes: list[_Field] = [(where, "<Q", lambda real: at + real - 8), (where + 8, "<Q", lambda real: real)]
    return [*sizes, (where + 16, "<Q", lambda real: real // frame), (at - 4, "<I", lambda real: 0xFFFFFFFF)]


def _w64(file: BinaryIO, head: bytes, size: int) -> _Stated | None:
    def chunk(file: BinaryIO, at: int) -> tuple[bytes, int]:
        head = _read(file, at, 24)
        length = struct.unpack("<q", head[16:])[0] if len(head) == 24 else 0
        return _name(head[:4]) if head[4:16] in _W64_TAILS else b"", at + length + -length % 8

    at, form = 40, b""
    while at + 24 <= size:
        name, behind = chunk(file, at)
        if name == b"fmt " and _read(file, at + 24, 2) == b"\xfe\xff":
            form = _read(file, at + 24, 40)  # libsndfile takes floats in it for integers
        if name == b"data":
            told, start = struct.unpack("<q", _read(file, at + 16, 8))[0], at + 24
            fields: list[_Field] = [(16, "<q", lambda real: start + real), (at + 16, "<q", lambda real: real + 24)]
            return _Stated(start, told - 24 if told > 24 else 0, 64, fields, chunk, form=form)
        if not name or behind <= at:
            return None
        at = behind
    return None


def _aiff(file: BinaryIO, head: bytes, size: int) -> _Stated | None:
    for name, at, length in _chunks(file, 12, size, ">I"):
        if name == b"SSND":
            return _Stated(at, length, 32, _size_fields(at, ">I"), _reader(">I"), lead=8)
    return None


def _caf(file: BinaryIO, head: bytes, size: int) -> _Stated | None:
    for name, at, length in _chunks(file, 8, size, ">q"):
        if name == b"data":
            return _Stated(at, length, 64, [(at - 8, ">q", lambda real: real)], _reader(">q"), lead=4)
    return None


def _au(file: BinaryIO, head: bytes, size: int) -> _Stated | None:
    start, told = struct.unpack(">II", head[4:12])
    if not 24 <= start <= size:
        return None
    fields: list[_Field] = [(8, ">I", lambda real: min(real, 2**32 - 1))]
    return _Stated(start, told, 32, fields, lambda file, at: (b"", 0))


_KINDS = (
    (lambda head: head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE", _riff),
    (lambda head: head[:16] == _RIFF_GUID, _w64),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _aiff),
    (lambda head: head[:4] == b"caff", _caf),
    (lambda head: head[:4] == b".snd", _au),
)


def _pieces(file: BinaryIO, stated: _Stated, length: int, size: int) -> tuple[Piece, ...]:
    """The file with a header that states this length; RF64 in place of RIFF, where that has no room.

    A writer that wanted to go back and could not has left its header again, in front of the samples and behind them.
    """
    first, end = stated.start + stated.lead, stated.start + length
    magic, begin = _read(file, 0, 16), first
    while end == size and end - begin >= first and _read(file, begin, 16) == magic:
        begin += first
    if end == size and end - first >= begin and _read(file, end - first, 16) == magic:
        end -= first
    length = stated.lead + end - begin
    if stated.form and (stated.bits == 64 or stated.start + length >= 2**32):
        return (_rf64(stated.form, length), (begin, end))
    at = 0
    pieces: list[Piece] = []
    for where, layout, value in stated.fields:
        data = struct.pack(layout, value(length) % 256 ** struct.calcsize(layout))
        pieces += [(at, where), data]
        at = where + len(data)
    return (*pieces, (at, first), (begin, end))


def _rf64(form: bytes, length: int) -> bytes:
    """Header of an RF64 file with a WAVE format and a length of the sound in bytes."""
    body = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + b"\xff" * 4
    sizes = struct.pack(
        "<QQQI", length + len(body) + 40, length, length // max(1, *struct.unpack("<H", form[12:14])), 0
    )
    return b"RF64" + b"\xff" * 4 + b"WAVEds64" + struct.pack("<I", len(sizes)) + sizes + body
