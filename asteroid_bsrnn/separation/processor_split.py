"""How many processes of how many threads separate fastest on this machine's processor: measured once, remembered."""

import json
import time
from collections.abc import Callable
from hashlib import blake2b
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..common.files import read_json, write_json
from ..common.surroundings import surroundings, usable_cores
from ..models.base import as_model
from .device_pool import Build, Device, started
from .ensemble import Separator
from .many.sharing import model_hash

_PROBE = 2.0  # s of noise in a pass
_PASSES = 3
_WORSE = 0.95  # of the best speed: more processes are not tried

Speed = Callable[[int, int], float]


def auto_devices(build: Build, separator: Separator) -> list[Device]:
    """All GPUs that are there, else the processor in as many processes as are fastest.

    Args:
        build: see :class:`.device_pool.Work`.
        separator: what it builds, for the name under which the measurement is remembered.
    """
    if torch.cuda.is_available():
        return [Device(f"cuda:{number}") for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return [Device("mps")]
    cores = usable_cores()
    key = _key(separator, cores)
    known = _remembered(cache_file())
    if key not in known:
        best = best_split(cores, lambda processes, threads: measure(build, processes, threads))
        known = {**_remembered(cache_file()), key: best}
        write_json(cache_file(), known)
    processes, threads = known[key]
    return [Device("cpu", threads)] * processes


def best_split(cores: int, speed: Speed) -> tuple[int, int]:
    """(processes, threads of each) with the highest speed, from one process up, until it gets slower.

    Args:
        speed: passes per second of so many processes of so many threads.
    """
    best, highest, processes = (1, cores), 0.0, 1
    while processes <= cores:
        found = speed(processes, cores // processes)
        if found > highest:
            best, highest = (processes, cores // processes), found
        elif found < _WORSE * highest:
            break
        processes *= 2
    return best


def measure(build: Build, processes: int, threads: int) -> float:
    """Passes of :data:`_PROBE` seconds of noise per second, by so many processes at once.

    Raises:
        UserError: if a process cannot begin.
    """
    pool: list[tuple[Connection, BaseProcess]] = []
    try:
        for _ in range(processes):
            pool.append(started(_passes, build, threads))
        for pipe, _ in pool:
            pipe.recv()
        begun = time.perf_counter()
        for pipe, _ in pool:
            pipe.send(None)
        for pipe, _ in pool:
            pipe.recv()
        return processes * _PASSES / (time.perf_counter() - begun)
    except EOFError:
        raise UserError(
            f"the processor could not be measured with {processes} processes: give --devices cpu:N"
        ) from None
    finally:
        for _, process in pool:
            process.kill()  # nothing is lost with it


def _passes(pipe: Connection, build: Build, threads: int) -> None:
    separator = build("cpu", threads)
    channels = as_model(separator.models[0]).channels or 1
    wav = 0.1 * torch.randn(1, channels, round(_PROBE * separator.sample_rate))
    separator.segments(wav)
    pipe.send(None)
    pipe.recv()
    for _ in range(_PASSES):
        separator.segments(wav)
    pipe.send(None)


def cache_file() -> Path:
    """Where measurements are remembered: in the host's cache folder."""
    from asteroid.utils import hub_utils

    return Path(hub_utils.get_cache_dir()) / "asteroid_bsrnn_devices.json"


def _remembered(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (UserError, OSError):
        return {}


def _key(separator: Separator, cores: int) -> str:
    facts = [surroundings()["cpu"], cores, model_hash(separator.models), separator.precision, torch.__version__]
    return blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()
