"""What this process runs on: processors, memory, GPUs, ffmpeg. For ``asteroid-bsrnn info`` and whoever reports a fault."""

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import torch

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
GIB = 2**30


def surroundings() -> dict[str, Any]:
    """Plain values: ``cpu``, ``features``, ``threads``, ``cores``, ``memory_free_gib``, ``memory_total_gib``, ``devices``, ``ffmpeg``.

    What a system does not tell is None.
    """
    free, total = _memory()
    return {
        "cpu": _cpuinfo().get("model name") or platform.processor() or platform.machine(),
        "features": _features(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_free_gib": free,
        "memory_total_gib": total,
        "devices": _devices(),
        "ffmpeg": shutil.which("ffmpeg"),
    }


def usable_cores() -> int:
    """Cores that this process may use, as far as the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """First processor of Linux's list; empty elsewhere."""
    try:
        block = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())}


def _features() -> list[str]:
    """What decides speed and the last bits: PyTorch's own choice of instructions, then flags of the processor."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return [f"torch uses {torch.backends.cpu.get_cpu_capability()}", *(flag for flag in _FLAGS if flag in flags)]


def _memory() -> tuple[float | None, float | None]:
    """Free and total memory in GiB."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None, None
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    free, total = (round(kib[name] * 1024 / GIB, 1) for name in ("MemAvailable", "MemTotal"))
    return free, total


def _devices() -> list[str]:
    """GPUs that PyTorch can use, with their free and total memory."""
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append(f"cuda:{number} {name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    return [*found, "mps"] if torch.backends.mps.is_available() else found
