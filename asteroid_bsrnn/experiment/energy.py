"""Energy of an experiment: measured by codecarbon, kept in one ledger, estimated by Green Algorithms, extrapolated.

Figures of codecarbon are after multiplication by the PUE. On a machine without power meters it estimates from the
processor's load and the size of the memory; the ledger says which parts were estimated.
"""

import fcntl
import os
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from ..common.errors import UserError
from ..common.files import read_json, write_json
from .tracker import Tracker

PHASES = ("preparation", "training", "validation", "test")


class Ledger:
    """The file ``energy.json`` of one experiment; safe for several processes at a time.

    Args:
        path (str or Path): the file; created by the first entry.
    """

    def __init__(self, path):
        self.path = Path(path)

    def entries(self):
        """All entries, oldest first."""
        return read_json(self.path)["entries"] if self.path.exists() else []

    def add(self, entry):
        """Add an entry, or replace the one with the same ``run_id`` and ``phase``.

        Args:
            entry (dict): phase, source, run_id, kwh (float, or None where nothing measures), hours, epochs, hardware,
                method, interrupted, pue, country.
        """
        if entry["phase"] not in PHASES:
            raise ValueError(f"phase {entry['phase']!r} is unknown; allowed are {', '.join(PHASES)}")
        with _locked(self.path.parent):
            entries = self.entries()
            places = [number for number, known in enumerate(entries) if _key(known) == _key(entry)]
            if places:
                entries[places[0]] = entry
            else:
                entries.append(entry)
            write_json(self.path, {"entries": entries, **_summary(entries)})

    def total(self, phase=None, source=None):
        """Energy in kWh over all entries (of one phase, of one source); what was not measured counts as 0."""
        return sum(entry["kwh"] or 0.0 for entry in self._matching(phase, source))

    def hours(self, phase=None, source=None):
        """Time in hours, likewise."""
        return sum(entry["hours"] for entry in self._matching(phase, source))

    def _matching(self, phase, source):
        return [
            entry
            for entry in self.entries()
            if phase in (None, entry["phase"]) and source in (None, entry.get("source"))
        ]

    def per_epoch(self, source=None):
        """kWh of training and validation per epoch trained, None before the first epoch."""
        epochs = sum(entry["epochs"] or 0 for entry in self._matching("training", source))
        kwh = self.total("training", source) + self.total("validation", source)
        return kwh / epochs if epochs else None

    def extrapolate(self, epochs, source=None):
        """kWh of a run of ``epochs`` epochs, as the paper reckons: energy per measured epoch (there: 3) times epochs.

        Epochs that were trained without gain at the end (the patience) count, as does training that was resumed.
        """
        rate = self.per_epoch(source)
        return None if rate is None else rate * epochs

    @contextmanager
    def track(self, phase, source=None, *, country="FRA", pue=1.5):
        """Measure what happens in the block and add it; a block that fails is entered as interrupted."""
        meter = Meter(self, source, country=country, pue=pue)
        meter.start(phase)
        try:
            yield meter
        except BaseException:
            meter.stop(interrupted=True)
            raise
        meter.stop()


class Meter:
    """Measures one process's stretch of work, phase by phase, and writes it to a ledger at least once a minute.

    Until :meth:`stop`, its entries are marked as interrupted, so that a killed run keeps what it used.

    Args:
        ledger (Ledger): where to write.
        source (str, optional): source that is trained.
        country (str): ISO code of three letters, for codecarbon.
        pue (float): power usage effectiveness of the data centre; multiplies the energy.
        flush_seconds (float): longest time between two entries in the ledger.
    """

    def __init__(self, ledger, source=None, *, country="FRA", pue=1.5, flush_seconds=60.0):
        check_place(country, pue)
        self.ledger, self.source, self.country, self.pue = ledger, source, country, float(pue)
        self.flush_seconds, self.run_id, self.phase, self.entries = flush_seconds, uuid.uuid4().hex[:12], None, {}
        self.tracker = Tracker(country, self.pue)

    def start(self, phase):
        """Enter ``phase``; what was used so far belongs to the phase before."""
        self._settle()
        self.phase = phase
        if phase not in self.entries:
            self.entries[phase] = {
                "phase": phase,
                "source": self.source,
                "run_id": self.run_id,
                "kwh": 0.0 if self.tracker.works else None,
                "hours": 0.0,
                "epochs": None,
                "hardware": self.tracker.hardware,
                "method": self.tracker.method,
                "settings": self.tracker.settings,
                "estimated_parts": self.tracker.estimated_parts,
                "interrupted": True,
                "pue": self.pue,
                "country": self.country,
            }
            self.ledger.add(self.entries[phase])

    def tick(self, epochs=None):
        """Call often; writes to the ledger when ``flush_seconds`` have passed.

        Args:
            epochs (float, optional): epochs trained since this meter was made.
        """
        if epochs is not None:
            self.entries["training"]["epochs"] = round(epochs, 4)
        if time.monotonic() - self.settled >= self.flush_seconds:
            self._settle()

    def stop(self, interrupted=False):
        """End the measurement."""
        self._settle()
        self.tracker.stop()
        for entry in self.entries.values():
            entry["interrupted"] = interrupted
            self.ledger.add(entry)
        self.phase = None

    def _settle(self):
        """Enter what was used since the last time under the present phase."""
        moment, kwh = time.monotonic(), self.tracker.kwh()
        if self.phase is not None:
            entry = self.entries[self.phase]
            entry["hours"] += (moment - self.settled) / 3600
            if kwh is not None:
                entry["kwh"] += kwh - self.kwh
            self.ledger.add(entry)
        self.settled, self.kwh = moment, kwh


def check_place(country, pue):
    """Refuse a country that is no ISO code, and a power usage effectiveness that cannot be."""
    if not isinstance(pue, (int, float)) or not 1 <= pue < float("inf"):
        raise UserError(f"energy.pue must be a number from 1 on, not {pue!r}")
    if not (isinstance(country, str) and len(country) == 3 and country.isupper()):
        raise UserError(f"energy.country must be an ISO code of three capital letters (FRA), not {country!r}")


def make_meter(
    path, source=None, *, track: bool = True, country: str = "FRA", pue: float = 1.5, flush_seconds: float = 60.0
):
    """The :class:`Meter` that section ``energy`` of a configuration describes, None with ``track: false``.

    Args:
        path (str or Path): ledger to write to.
        source (str, optional): source that is trained.
    """
    return Meter(Ledger(path), source, country=country, pue=pue, flush_seconds=flush_seconds) if track else None


def green_algorithms(
    hours, *, cores=1, core_watts=12.0, core_usage=1.0, gpus=0, gpu_watts=0.0, gpu_usage=1.0, memory_gb=0.0,
    memory_watts_per_gb=0.375, pue=1.5,
):  # fmt: skip
    """Energy in kWh by the formula of Green Algorithms [1]_.

    ``hours * (cores * core_watts * core_usage + gpus * gpu_watts * gpu_usage + memory_gb * memory_watts_per_gb) * pue
    / 1000``. The memory's 0.375 W per GB (3 W per 8 GB) is that of the replication paper; [1]_ has 0.3725.

    Args:
        hours (float): running time.
        cores, gpus (int): in use.
        core_watts, gpu_watts (float): power of one at full load, as the maker states it.
        core_usage, gpu_usage (float): mean load, 0 to 1.
        memory_gb (float): memory that was requested, whether used or not.

    Example:
        >>> round(green_algorithms(10, cores=4, core_watts=10, gpus=2, gpu_watts=250, memory_gb=64), 3)
        8.46

    References
        [1] L. Lannelongue, J. Grealey, M. Inouye, "Green Algorithms: Quantifying the Carbon Footprint of
        Computation", Advanced Science 8(12), 2021.
    """
    watts = cores * core_watts * core_usage + gpus * gpu_watts * gpu_usage + memory_gb * memory_watts_per_gb
    return hours * watts * pue / 1000


def _key(entry):
    return entry["phase"], entry["run_id"]


def _summary(entries):
    phases = {phase: [entry for entry in entries if entry["phase"] == phase] for phase in PHASES}
    estimated = sorted({part for entry in entries for part in entry.get("estimated_parts", [])})
    return {
        "kwh": {phase: sum(entry["kwh"] or 0.0 for entry in found) for phase, found in phases.items() if found},
        "hours": {phase: sum(entry["hours"] for entry in found) for phase, found in phases.items() if found},
        "estimated_parts": estimated,
        "unmeasured_entries": sum(entry["kwh"] is None for entry in entries),
    }


@contextmanager
def _locked(folder):
    """Exclusive use of the files in ``folder`` among processes that ask for it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
