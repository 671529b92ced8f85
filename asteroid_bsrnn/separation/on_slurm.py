"""What is done when all tasks of a SLURM array have ended."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .many.journal import merge

MERGED = "records.jsonl"


@dataclass(frozen=True)
class SummedUp:
    """A job that puts the records of all tasks into one file, ``records.jsonl`` beside them, and counts them.

    Args:
        folder: of the records, see :func:`.many.sharing.work_folder`.
    """

    folder: str

    def __call__(self) -> dict[str, int]:
        """Number of recordings by status; printed too."""
        target = Path(self.folder) / MERGED
        merge(self.folder, target)
        with open(target, encoding="ascii") as file:
            counts = dict(Counter(json.loads(line)["status"] for line in file))
        print(f"{target}: {', '.join(f'{count} {status}' for status, count in sorted(counts.items())) or 'no records'}")
        return counts
