"""Energy of an experiment: measured by codecarbon, kept in one ledger, estimated by Green Algorithms, extrapolated.

Figures of codecarbon are after multiplication by the PUE. On a machine without power meters it estimates from the
processor's load and the size of the memory; the ledger says which parts were estimated.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import write_json
from .energy_entry import PHASES, EnergyEntry, exclusive_folder, summary
from .stored import read_object
from .tracker import Tracker

LEDGER_FILE = "energy.json"


class Ledger:
    """The file ``energy.json`` of one experiment; safe for several processes at a time.

    Args:
        path: the file; created by the first entry.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def entries(self) -> list[EnergyEntry]:
        """All entries, oldest first.

        Raises:
            UserError: if the file is broken.
        """
        if not self.path.exists():
            return []
        found = read_object(self.path).get("entries")
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise UserError(f"{self.path} is no ledger of energy: it has no list of entries")
        return [EnergyEntry.of(entry) for entry in found]

    def add(self, entry: EnergyEntry) -> None:
        """Add an entry, or replace the one with the same ``run_id`` and ``phase``."""
        if entry.phase not in PHASES:
            raise ValueError(f"phase {entry.phase!r} is unknown; allowed are {', '.join(PHASES)}")
        with exclusive_folder(self.path.parent):
            entries = self.entries()
            work = [(known.run_id, known.phase) for known in entries]
            if (entry.run_id, entry.phase) in work:
                entries[work.index((entry.run_id, entry.phase))] = entry
            else:
                entries.append(entry)
            write_json(self.path, {"entries": [each.content() for each in entries], **summary(entries)})

    def total(self, phase: str | None = None, source: str | None = None) -> float:
        """Energy in kWh over all entries (of one phase, of one source); what was not measured counts as 0."""
        return sum(entry.kwh or 0.0 for entry in self._matching(phase, source))

    def hours(self, phase: str | None = None, source: str | None = None) -> float:
        """Time in hours, likewise."""
        return sum(entry.hours for entry in self._matching(phase, source))

    def _matching(self, phase: str | None, source: str | None) -> list[EnergyEntry]:
        return [entry for entry in self.entries() if phase in (None, entry.phase) and source in (None, entry.source)]

    def per_epoch(self, source: str | None = None) -> float | None:
        """kWh of training and validation per epoch trained, None before the first epoch."""
        epochs = sum(entry.epochs or 0 for entry in self._matching("training", source))
        kwh = self.total("training", source) + self.total("validation", source)
        return kwh / epochs if epochs else None

    def extrapolate(self, epochs: float, source: str | None = None) -> float | None:
        """kWh of a run of ``epochs`` epochs, as the paper reckons: energy per measured epoch (there: 3) times epochs.

        Epochs that were trained without gain at the end (the patience) count, as does training that was resumed.
        """
        rate = self.per_epoch(source)
        return None if rate is None else rate * epochs

    def account(self, exp_dir: Path, epochs: float, source: str | None = None) -> dict[str, Any] | None:
        """What ``run.json`` says of the ledger; None if that is broken.

        Args:
            exp_dir: folder of the run.
            epochs: for how many to extrapolate.
            source: that was trained.
        """
        try:
            return {
                "ledger": os.path.relpath(self.path, exp_dir),
                "training_kwh": self.total("training", source),
                "validation_kwh": self.total("validation", source),
                "kwh_per_epoch": self.per_epoch(source),
                "kwh_at_all_epochs": self.extrapolate(epochs, source),
            }
        except UserError:
            return None

    @contextmanager
    def track(
        self, phase: str, source: str | None = None, *, country: str = "FRA", pue: float = 1.5
    ) -> Iterator["Meter"]:
        """Measure what happens in the block and add it; a block that fails is entered as interrupted."""
        meter = Meter(self, source, country=country, pue=pue)
        meter.start(phase)
        try:
            yield meter
        except BaseException:
            meter.stop(interrupted=True)
            raise
        meter.stop()


def all_entries(folder: Path) -> tuple[list[EnergyEntry], list[str]]:
    """Energy entries of an experiment folder and of the trainings in it, each entry once.

    Returns:
        The entries, and sentences about ledgers that cannot be read.
    """
    entries: dict[tuple, EnergyEntry] = {}
    problems = []
    for path in [folder / LEDGER_FILE] + sorted(folder.glob(f"*/{LEDGER_FILE}")):
        try:
            found = Ledger(path).entries()
        except UserError as error:
            problems.append(f"{path} cannot be read ({error})")
            continue
        for entry in found:
            entries.setdefault((entry.run_id, entry.phase, str(entry.source), entry.kwh, entry.hours), entry)
    return list(entries.values()), problems


class Meter:
    """Measures one process's stretch of work, phase by phase, and writes it to a ledger at least once a minute.

    Until :meth:`stop`, its entries are marked as interrupted, so that a killed run keeps what it used.

    Args:
        ledger: where to write.
        source: that is trained, None for all.
        country: ISO code of three letters, for codecarbon.
        pue: power usage effectiveness of the data centre; multiplies the energy.
        flush_seconds: longest time between two entries in the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: str | None = None,
        *,
        country: str = "FRA",
        pue: float = 1.5,
        flush_seconds: float = 60.0,
    ) -> None:
        check_place(country, pue)
        self.ledger, self.source, self.country, self.pue = ledger, source, country, float(pue)
        self.flush_seconds, self.run_id = flush_seconds, uuid.uuid4().hex[:12]
        self.phase: str | None = None
        self.entries: dict[str, EnergyEntry] = {}
        self.kwh: float | None = None
        self.settled = time.monotonic()  # since when what is used now has not been entered
        self.tracker = Tracker(country, self.pue)

    def start(self, phase: str) -> None:
        """Enter ``phase``; what was used so far belongs to the phase before."""
        self._settle()
        self.phase = phase
        if phase not in self.entries:
            self.entries[phase] = EnergyEntry(
                phase=phase,
                source=self.source,
                run_id=self.run_id,
                kwh=0.0 if self.tracker.works else None,
                hardware=self.tracker.hardware,
                method=self.tracker.method,
                settings=self.tracker.settings,
                estimated_parts=self.tracker.estimated_parts,
                interrupted=True,
                pue=self.pue,
                country=self.country,
            )
            self.ledger.add(self.entries[phase])

    def tick(self, epochs: float | None = None) -> None:
        """Call often; writes to the ledger when ``flush_seconds`` have passed.

        Args:
            epochs: trained since this meter was made.
        """
        if epochs is not None:
            self.entries["training"].epochs = round(epochs, 4)
        if time.monotonic() - self.settled >= self.flush_seconds:
            self._settle()

    def stop(self, interrupted: bool = False) -> None:
        """End the measurement."""
        self._settle()
        self.tracker.stop()
        for entry in self.entries.values():
            entry.interrupted = interrupted
            self.ledger.add(entry)
        self.phase = None

    def _settle(self) -> None:
        """Enter what was used since the last time under the present phase."""
        moment, kwh = time.monotonic(), self.tracker.kwh()
        if self.phase is not None:
            entry = self.entries[self.phase]
            entry.hours += (moment - self.settled) / 3600
            if kwh is not None:
                entry.kwh = (entry.kwh or 0.0) + kwh - (self.kwh or 0.0)
            self.ledger.add(entry)
        self.settled, self.kwh = moment, kwh


def check_place(country: Any, pue: Any) -> None:
    """Refuse a country that is no ISO code, and a power usage effectiveness that cannot be."""
    if not isinstance(pue, (int, float)) or not 1 <= pue < float("inf"):
        raise UserError(f"energy.pue must be a number from 1 on, not {pue!r}")
    if not (isinstance(country, str) and len(country) == 3 and country.isupper()):
        raise UserError(f"energy.country must be an ISO code of three capital letters (FRA), not {country!r}")


def make_meter(
    path: str | Path,
    source: str | None = None,
    *,
    track: bool = True,
    country: str = "FRA",
    pue: float = 1.5,
    flush_seconds: float = 60.0,
) -> Meter | None:
    """The :class:`Meter` that section ``energy`` of a configuration describes, None with ``track: false``.

    Args:
        path: ledger to write to.
        source: that is trained.
    """
    return Meter(Ledger(path), source, country=country, pue=pue, flush_seconds=flush_seconds) if track else None


def green_algorithms(
    hours: float, *, cores: int = 1, core_watts: float = 12.0, core_usage: float = 1.0, gpus: int = 0,
    gpu_watts: float = 0.0, gpu_usage: float = 1.0, memory_gb: float = 0.0, memory_watts_per_gb: float = 0.375,
    pue: float = 1.5,
) -> float:  # fmt: skip
    """Energy in kWh by the formula of Green Algorithms [1]_.

    ``hours * (cores * core_watts * core_usage + gpus * gpu_watts * gpu_usage + memory_gb * memory_watts_per_gb) * pue
    / 1000``. The memory's 0.375 W per GB (3 W per 8 GB) is that of the replication paper; [1]_ has 0.3725.

    Args:
        hours: running time.
        cores, gpus: in use.
        core_watts, gpu_watts: power of one at full load, as the maker states it.
        core_usage, gpu_usage: mean load, 0 to 1.
        memory_gb: memory that was requested, whether used or not.

    Example:
        >>> round(green_algorithms(10, cores=4, core_watts=10, gpus=2, gpu_watts=250, memory_gb=64), 3)
        8.46

    References
        [1] L. Lannelongue, J. Grealey, M. Inouye, "Green Algorithms: Quantifying the Carbon Footprint of
        Computation", Advanced Science 8(12), 2021.
    """
    watts = cores * core_watts * core_usage + gpus * gpu_watts * gpu_usage + memory_gb * memory_watts_per_gb
    return hours * watts * pue / 1000
