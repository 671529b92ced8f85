"""Who does what: durations of all recordings, found out once, and shards of equal work for any number of tasks."""

import heapq
import json
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from ...audio.read import probe
from ...common.errors import UserError
from ...common.files import atomic_path
from .claims import Claims
from .entries import Entry, fingerprint

_PROBES = 8  # at once
_LOCK = "plan"
_POLL = 0.2  # s


def seconds_of(entry: Entry) -> float | None:
    """How much there is to separate, as the file states it; None if it does not say, or cannot be opened."""
    if entry.duration is not None:
        return entry.duration
    if "://" in entry.path:
        return None
    try:
        info = probe(entry.path)
    except (UserError, OSError):  # it will fail when its turn comes
        return None
    return max(0.0, info.frames / info.sample_rate - entry.offset) if info.frames else None


def durations(
    entries: Sequence[Entry], folder: str | Path, find: Callable[[Entry], float | None] = seconds_of
) -> list[float]:
    """Seconds of audio of each entry: from the plan in ``folder``, which is written by the first that needs it.

    All others wait until it is there. Files are opened only for entries whose duration the list does not give; where
    nothing states it, it is the mean of the others.

    Args:
        folder: for the plan, ``plan-<fingerprint of the entries>.jsonl``, an object with id and seconds a line.
    """
    path = Path(folder) / f"plan-{fingerprint(entries)}.jsonl"
    with Claims(Path(folder) / "claims") as claims:
        while not path.exists():
            if claims.take(_LOCK) is None:
                time.sleep(_POLL)
                continue
            if not path.exists():
                _write(path, entries, _found(entries, find))
            claims.release(_LOCK)
    return _read(path, len(entries))


def _found(entries: Sequence[Entry], find: Callable[[Entry], float | None]) -> list[float]:
    found: list[float | None] = [entry.duration for entry in entries]
    unknown = (index for index, seconds in enumerate(found) if seconds is None)
    with ThreadPoolExecutor(_PROBES) as pool:
        while chunk := list(islice(unknown, 10_000)):
            for index, seconds in zip(chunk, pool.map(find, [entries[index] for index in chunk])):
                found[index] = seconds
    known = [seconds for seconds in found if seconds is not None]
    mean = sum(known) / len(known) if known else 1.0
    return [mean if seconds is None else seconds for seconds in found]


def _write(path: Path, entries: Sequence[Entry], found: Sequence[float]) -> None:
    with atomic_path(path) as partial, open(partial, "w", encoding="ascii") as file:
        for entry, seconds in zip(entries, found):
            file.write(json.dumps({"id": entry.id, "seconds": round(seconds, 3)}) + "\n")


def _read(path: Path, n_entries: int) -> list[float]:
    try:
        with open(path, encoding="ascii") as file:
            found = [float(json.loads(line)["seconds"]) for line in file]
    except (ValueError, KeyError) as error:
        raise UserError(f"the plan {path} is damaged ({error}): remove it, and it will be made anew") from None
    if len(found) != n_entries:
        raise UserError(f"the plan {path} has {len(found)} lines for {n_entries} recordings: remove it")
    return found


def shard(plan: Sequence[float], index: int, count: int) -> list[int]:
    """Which entries one of several tasks does: the longest first to whoever has least, so that all end together.

    Two tasks differ by the longest recording at most. The same durations give the same shards everywhere.

    Args:
        plan: seconds of each entry.
        index: of the task, from 1.
        count: of tasks.

    Returns:
        list of int: indices of entries, rising.
    """
    loads = [(0.0, number) for number in range(1, count + 1)]
    mine = array("q")
    for entry in sorted(range(len(plan)), key=lambda entry: -plan[entry]):
        load, number = loads[0]
        if number == index:
            mine.append(entry)
        heapq.heapreplace(loads, (load + plan[entry], number))
    return sorted(mine)


def parse_shard(text: str) -> tuple[int, int]:
    """``"3/200"``: the third of 200.

    Raises:
        UserError: for anything else.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(f"a shard is I/N with I from 1 to N, such as 3/200, not {text!r}")
    return int(index), int(count)


def slurm_shard(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """The shard of a task of a SLURM array: its place among the ids, from 1, and their number; None outside one.

    Raises:
        UserError: if the ids are not evenly spaced, so that they do not tell the place.
    """
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    if not all(environ.get(name, "").isdecimal() for name in names):
        return None
    number, lowest, count = (int(environ[name]) for name in names)
    step = int(environ.get("SLURM_ARRAY_TASK_STEP") or 1)
    index = (number - lowest) // step + 1
    if (number - lowest) % step or not 1 <= index <= count:
        raise UserError(f"the ids of this SLURM array do not count {count} tasks from {lowest}: give --shard I/N")
    return index, count
