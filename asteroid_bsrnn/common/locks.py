"""Locks on open files, which end with the process however that ends. Where a system has none, nothing is ever held."""

from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(file: IO | int, wait: bool = False) -> bool:
    """Lock an open file; whether this process holds it now.

    Args:
        file: the file, or its descriptor.
        wait: until whoever holds it lets go.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:  # somebody else has it, or the file system knows no locks
        return False
