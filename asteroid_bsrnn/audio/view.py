"""A file as libsndfile shall see it: stretches of what is on the disk, with other bytes where a header is wrong."""
import io
import os
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
