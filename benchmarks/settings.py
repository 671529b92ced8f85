"""What all benchmarks are told."""

from pathlib import Path
from typing import NamedTuple


class Settings(NamedTuple):
    """From the command line.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: tiny sizes, to see that everything runs.
        repeats: of each measurement.
        threads: of this process.
        folder: where results go.
    """

    device: str
    quick: bool
    repeats: int
    threads: int
    folder: Path
