"""An entry of the ledger of energy, and what several make."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import locks
from .stored import Stored

PHASES = ("preparation", "training", "validation", "test")


@dataclass(kw_only=True)
class EnergyEntry(Stored):
    """One stretch of work of one process.

    Args:
        phase: one of :data:`PHASES`.
        source: that was trained, None for all.
        run_id: of the process.
        kwh: energy after multiplication by the PUE; None where nothing measures.
        hours: time.
        epochs: trained in it.
        hardware: what was measured.
        method: how.
        settings: of codecarbon.
        estimated_parts: of the hardware.
        interrupted: whether the work did not come to its end.
        pue: power usage effectiveness.
        country: ISO code of three letters.
    """

    phase: str | None = None
    source: str | None = None
    run_id: str | None = None
    kwh: float | None = None
    hours: float = 0.0
    epochs: float | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    settings: dict[str, Any] | None = None
    estimated_parts: list[str] = field(default_factory=list)
    interrupted: bool = False
    pue: float | None = None
    country: str | None = None


def summary(entries: list[EnergyEntry]) -> dict[str, Any]:
    """What a ledger says of its entries together."""
    phases = {phase: [entry for entry in entries if entry.phase == phase] for phase in PHASES}
    return {
        "kwh": {phase: sum(entry.kwh or 0.0 for entry in found) for phase, found in phases.items() if found},
        "hours": {phase: sum(entry.hours for entry in found) for phase, found in phases.items() if found},
        "estimated_parts": sorted({part for entry in entries for part in entry.estimated_parts}),
        "unmeasured_entries": sum(entry.kwh is None for entry in entries),
    }


@contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Exclusive use of the files in ``folder`` among processes that ask for it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        locks.hold(handle, wait=True)
        yield
    finally:
        os.close(handle)
