"""Files seen otherwise than whole: in pieces with other bytes between, for libsndfile; a megabyte at a time, for a walk."""

import io
import os
import re
from collections.abc import Iterator
from itertools import accumulate


class View(io.RawIOBase):
    """Read-only file made of pieces.

    Args:
        path (str or Path): the file on the disk.
        pieces (iterable): ``bytes`` that stand as they are, or (first byte, byte behind the last) of the file.
    """

    def __init__(self, path, pieces):
        self.name = os.fsencode(path) + b".view"  # no suffix that libsndfile would believe
        self.pieces = [piece for piece in pieces if len(piece) and (isinstance(piece, bytes) or piece[1] > piece[0])]
        lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self.pieces]
        self.begins = list(accumulate(lengths, initial=0))
        self.file, self.at = open(path, "rb"), 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.begins[-1]}[whence])
        return self.at

    def readinto(self, buffer):
        """Fill a buffer as far as the view goes; returns the number of bytes."""
        target, done = memoryview(buffer).cast("B"), 0
        for piece, begin, end in zip(self.pieces, self.begins, self.begins[1:]):
            if begin <= self.at < end and done < len(target):
                wanted, skipped = min(end - self.at, len(target) - done), self.at - begin
                target[done : done + wanted] = self._bytes(piece, skipped, wanted)
                self.at, done = self.at + wanted, done + wanted
        return done

    def _bytes(self, piece, skipped, wanted):
        if isinstance(piece, bytes):
            return piece[skipped : skipped + wanted]
        self.file.seek(piece[0] + skipped)
        found = self.file.read(wanted)
        if len(found) < wanted:
            raise OSError("the file became shorter while it was read")
        return found

    def close(self):
        self.file.close()
        super().close()


class Bytes:
    """The bytes of a file, read a megabyte at a time: sliced and searched like ``bytes``, in constant memory.

    Args:
        path (str or Path): the file.
    """

    _STEP = 1 << 20

    def __init__(self, path):
        self.file, self.begin, self.held = open(path, "rb"), 0, b""
        self.size = os.fstat(self.file.fileno()).st_size

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __len__(self):
        return self.size

    def __getitem__(self, part):
        start, stop, _ = part.indices(self.size)
        if start < self.begin or stop > self.begin + len(self.held):
            self.file.seek(start)
            self.begin, self.held = start, self.file.read(max(stop - start, self._STEP))
        return self.held[start - self.begin : max(start, stop) - self.begin]

    def search(self, pattern, at: int = 0, longest: int = 64) -> Iterator[int]:
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
