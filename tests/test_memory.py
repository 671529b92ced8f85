"""Freed memory stays with the process once that is asked for."""

import platform
import subprocess
import sys

import pytest

COUNT_BYTES = """
import ctypes, sys
import torch
from asteroid_bsrnn.common.memory import keep_freed_memory

class Mallinfo(ctypes.Structure):  # struct mallinfo of glibc's malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_int) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo.restype = Mallinfo
if sys.argv[1] == "keep":
    assert keep_freed_memory() and keep_freed_memory()
before = libc.mallinfo()
block = torch.ones(20_000_000)
del block
after = libc.mallinfo()
print(after.arena + after.hblkhd - before.arena - before.hblkhd)
"""


def kept(how):
    """Bytes that malloc holds from the system more than before, when 80 MB were taken and freed again."""
    run = subprocess.run([sys.executable, "-c", COUNT_BYTES, how], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_memory_is_kept_for_the_next_tensor():
    assert kept("keep") > 70_000_000 > 10_000_000 > kept("default")
