"""Checksums written as ``algorithm:hexadecimal``, as Zenodo does."""

import hashlib
import re
from pathlib import Path

from ..errors import UserError

_LENGTHS = {"md5": 32, "sha256": 64}


def parse(checksum: str) -> tuple[str, str]:
    """Split ``"md5:..."`` or ``"sha256:..."``.

    Returns:
        Algorithm, lower-case hexadecimal digest.

    Raises:
        UserError: for another algorithm, or a digest of the wrong length.
    """
    algorithm, _, digest = checksum.lower().partition(":")
    if len(digest) != _LENGTHS.get(algorithm) or not re.fullmatch(r"[0-9a-f]+", digest):
        raise UserError(f"checksum {checksum!r} is not of the form md5:<32 digits> or sha256:<64 digits>")
    return algorithm, digest


def of_file(path: str | Path, algorithm: str = "sha256") -> str:
    """Checksum of a file, ``"algorithm:hexadecimal"``, in constant memory."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


def matches(path: str | Path, checksum: str) -> bool:
    """Whether the file at ``path`` has this checksum."""
    algorithm, digest = parse(checksum)
    return of_file(path, algorithm) == f"{algorithm}:{digest}"
