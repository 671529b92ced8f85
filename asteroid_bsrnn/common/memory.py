"""Memory of CPU runs: freed memory stays with the process instead of going back to the system after every layer.

PyTorch takes each large tensor on a processor from the C library, and glibc hands blocks of over 32 MiB straight back
when they are freed. The next layer asks for the same again and the system fills it with zeros page by page: in
training, that takes a third to a half of the time of a recurrent layer with long sequences.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next tensor of that size. Changes no result; twice is harmless.

    For processes that do the same work again and again (training, separation of songs), as nothing is given back to
    the system until they end. Only glibc (Linux) is changed.

    Returns:
        Whether the setting was made.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
