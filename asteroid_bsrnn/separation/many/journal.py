"""Records: one line of JSON for each recording that was done or failed, in files that many processes append to.

Large lists have a file for every 10,000 entries or so, so that processes seldom wait for each other.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common import locks
from ...common.files import atomic_path

_PER_FILE = 10_000


class Records:
    """What is done, as far as the files say, and the way to add to them.

    Args:
        folder: of the files; shared by all processes.
        n_entries: in the whole list, which decides on the number of files.

    Attributes:
        status: of the keys in the files, the last word of each: ``"done"`` or ``"failed"``.
    """

    def __init__(self, folder: str | Path, n_entries: int) -> None:
        self.folder, self.n_files = Path(folder), max(1, -(-n_entries // _PER_FILE))
        self.status: dict[str, str] = {}
        self.positions: dict[Path, int] = {}
        self.keys: set[str] | None = None

    def read(self, keys: set[str] | None = None) -> None:
        """Take in all files; only ``keys`` are remembered if given, now and later."""
        self.keys = keys
        for path in sorted(self.folder.glob("records-*.jsonl")):
            self._take_in(path)

    def refresh(self, key: str) -> str | None:
        """Status of a key after a look at what others have written meanwhile."""
        self._take_in(self._path(key))
        return self.status.get(key)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, which has at least ``key`` and ``status``, as one whole line."""
        path = self._path(record["key"])
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n"
        with open(path, "a+b", buffering=0) as file:
            locks.hold(file, wait=True)  # for one line; where there are no locks, appending has to do
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # somebody was killed, or the disk was full
                    line = b"\n" + line
            file.write(line)

    def _path(self, key: str) -> Path:
        number = int(key, 16) % self.n_files + 1
        return self.folder / f"records-{number}-of-{self.n_files}.jsonl"

    def _take_in(self, path: Path) -> None:
        position = self.positions.get(path, 0)
        for line, end in _lines(path, position):
            self.positions[path] = end
            record = _parsed(line)
            if record is not None and (self.keys is None or record["key"] in self.keys):
                self.status[record["key"]] = record["status"]


def _lines(path: Path, position: int = 0) -> Iterator[tuple[bytes, int]]:
    """Whole lines from a byte on, and where each ends."""
    try:
        with open(path, "rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                yield line, position
    except FileNotFoundError:
        return


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A record, or None for what is left of one whose writer was killed."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"key", "status"} <= set(record) else None


def all_records(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Every record of all files, file by file, in the order of writing."""
    for path in sorted(Path(folder).glob("records-*.jsonl")):
        for line, _ in _lines(path):
            record = _parsed(line)
            if record is not None:
                yield record


def merge(folder: str | Path, target: str | Path) -> int:
    """Write the last record of every key into one file, whole or not at all.

    Returns:
        int: how many there are.
    """
    last: dict[str, int] = {}
    for number, record in enumerate(all_records(folder)):
        last[record["key"]] = number
    wanted = set(last.values())
    with atomic_path(target) as partial, open(partial, "w", encoding="ascii") as file:
        for number, record in enumerate(all_records(folder)):
            if number in wanted:
                file.write(json.dumps(record) + "\n")
    return len(wanted)


@dataclass(frozen=True)
class SummedUp:
    """A job that puts the records of all tasks into one file, ``records.jsonl`` beside them, and counts them.

    Args:
        folder: of the records, see :func:`.sharing.work_folder`.
    """

    folder: str

    def __call__(self) -> dict[str, int]:
        """Number of recordings by status; printed too."""
        target = Path(self.folder, "records.jsonl")
        merge(self.folder, target)
        with open(target, encoding="ascii") as file:
            counts = dict(Counter(json.loads(line)["status"] for line in file))
        print(f"{target}: {', '.join(f'{count} {status}' for status, count in sorted(counts.items())) or 'no records'}")
        return counts


@dataclass
class Summary:
    """What became of the recordings of a run.

    Args:
        done, failed, skipped: how many recordings; skipped ones were done before, or elsewhere.
        duration: seconds of audio that were separated here.
        seconds: that this took, on the clock.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    duration: float = 0.0
    seconds: float = 0.0

    def add(self, result: dict[str, Any]) -> None:
        """Count one result."""
        setattr(self, result["status"], getattr(self, result["status"]) + 1)
        self.duration += result.get("duration") or 0.0

    def __str__(self) -> str:
        total = self.done + self.failed + self.skipped
        speed = self.duration / max(self.seconds, 1e-9)
        took = f"{_time(self.duration)} of audio in {_time(self.seconds)}, {speed:.1f} times real time"
        return f"{total} recordings: {self.done} done, {self.failed} failed, {self.skipped} skipped ({took})"


def _time(seconds: float) -> str:
    """In the largest unit of which there are two."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("min", 60)) if seconds >= 2 * size), ("s", 1))
    return f"{seconds / size:.1f} {unit}"
