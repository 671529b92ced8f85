"""Files seen otherwise than whole: in pieces with other bytes between, for libsndfile; a megabyte at a time, for a walk."""

import io
import os
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Piece = bytes | tuple[int, int]


class View(io.RawIOBase):
    """Read-only file made of pieces.

    Args:
        path: the file on the disk.
        pieces: ``bytes`` that stand as they are, or (first byte, byte behind the last) of the file.
    """

    def __init__(self, path: str | Path, pieces: Iterable[Piece]) -> None:
        self.name = os.fsencode(path) + b".view"  # no suffix that libsndfile would believe
        self.pieces = [piece for piece in pieces if len(piece) and (isinstance(piece, bytes) or piece[1] > piece[0])]
        lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces]
        self.begins = list(accumulate(lengths, initial=0))
        self.file, self.at = open(path, "rb"), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.begins[-1]}[whence])
        return self.at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer as far as the view goes; returns the number of bytes."""
        target, done = memoryview(buffer).cast("B"), 0
        for piece, begin, end in zip(self.pieces, self.begins, self.begins[1:]):
            if begin <= self.at < end and done < len(target):
                wanted, skipped = min(end - self.at, len(target) - done), self.at - begin
                target[done : done + wanted] = self._bytes(piece, skipped, wanted)
                self.at, done = self.at + wanted, done + wanted
        return done

    def _bytes(self, piece: Piece, skipped: int, wanted: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[skipped : skipped + wanted]
        self.file.seek(piece[0] + skipped)
        found = self.file.read(wanted)
        if len(found) < wanted:
            raise OSError("the file became shorter while it was read")
        return found

    def close(self) -> None:
        self.file.close()
        super().close()


class Bytes:
    """The bytes of a file, read a megabyte at a time: sliced and searched like ``bytes``, in constant memory.

    Args:
        path: the file.
    """

    _STEP = 1 << 20

    def __init__(self, path: str | Path) -> None:
        self.file, self.begin, self.held = open(path, "rb"), 0, b""
        self.size = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> "Bytes":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self.size)
        if start < self.begin or stop > self.begin + len(self.held):
            self.file.seek(start)
            self.begin, self.held = start, self.file.read(max(stop - start, self._STEP))
        return self.held[start - self.begin : max(start, stop) - self.begin]

    def search(self, pattern: re.Pattern[bytes], at: int = 0, longest: int = 64) -> Iterator[int]:
        """Yield where a compiled pattern of up to ``longest`` bytes is found from a byte on."""
        while at < self.size:
            held = self[at : min(at + self._STEP, self.size)]
            last = at + len(held) >= self.size
            for found in pattern.finditer(held):
                if last or found.start() <= len(held) - longest:
                    yield at + found.start()
            at += len(held) if last else len(held) - longest + 1

    def find(self, text: bytes, at: int = 0) -> int:
        """Where some bytes are found first from a byte on; -1 if nowhere."""
        return next(self.search(re.compile(re.escape(text)), at, len(text)), -1)
