"""A run that other processes may take part in, now or later: who does what, and what is done, in one folder."""

import dataclasses
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from ...weights import weights_sha256
from ..addresses import is_address, local_or_address, name_of
from ..ensemble import Separator
from ..request import Request
from .claims import Claim, Claims
from .entries import Entry
from .journal import Records

_HOW = ("batch", "tolerant")  # of a request: they change no stem


def work_folder(out: str | Path) -> Path:
    """The folder beside the one for the stems, with plan, claims and records; of an address, one in the present folder."""
    place = local_or_address(out)
    path = Path(os.path.abspath(name_of(str(place)) if is_address(place) else place))
    return path.with_name(f"{path.name}.work") if path.name else path / ".work"


class Sharing:
    """Claims and records of one run, as a context.

    Args:
        folder: of claims and records, see :func:`work_folder`.
        separator, request: what is computed; records of anything else say nothing about it.
        n_entries: in the whole list.
        overwrite: do again what was done before now.
    """

    def __init__(
        self, folder: str | Path, separator: Separator, request: Request, n_entries: int, overwrite: bool = False
    ) -> None:
        self.overwrite, self.lock, self.begun = overwrite, threading.Lock(), False
        self.claims, self.records = Claims(Path(folder) / "claims"), Records(folder, n_entries)
        self.model, self.device = model_hash(separator.models), str(separator.device)
        asked = {name: value for name, value in dataclasses.asdict(request).items() if name not in _HOW}
        how = [self.model, separator.weights, separator.precision, separator.shifts, asked]
        self.job = blake2b(json.dumps(how, sort_keys=True).encode(), digest_size=6).hexdigest()

    def __enter__(self) -> "Sharing":
        self.claims.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.claims.__exit__(*error)

    def begin(self, entries: Iterable[Entry]) -> None:
        """Read what is known of these entries, the first time. What failed before is tried again."""
        if self.begun:
            return
        self.begun = True
        self.records.read({entry.key(self.job) for entry in entries})
        kept = {} if self.overwrite else self.records.status
        self.records.status = {key: status for key, status in kept.items() if status == "done"}

    def take(self, entry: Entry, whole: Callable[[], bool]) -> Claim | str | None:
        """A claim on an entry; or what it is already, ``"done"`` or ``"failed"``; or None while somebody is at it.

        Args:
            whole: says whether the stems are there, as a record may be older than somebody's tidying.
        """
        key = entry.key(self.job)
        if self.records.status.get(key) == "done" and whole():
            return "done"
        claim = self.claims.take(entry.id)
        if claim is None:
            return None
        with self.lock:
            status = self.records.refresh(key)
        if status == "failed" or status == "done" and whole():
            self.claims.release(entry.id)
            return status
        return claim

    def settle(self, entry: Entry, claim: Claim, result: dict[str, Any]) -> bool:
        """Write down what became of an entry and let go of it; whether it was still this process's."""
        mine = claim.mine()
        if mine:
            self.note(entry, result)
        self.claims.release(entry.id)
        return mine

    def note(self, entry: Entry, result: dict[str, Any]) -> None:
        """Write down what became of an entry, here or where the result's ``device`` and ``host`` say."""
        with self.lock:
            self.records.append(self._record(entry, result))

    def _record(self, entry: Entry, result: dict[str, Any]) -> dict[str, Any]:
        told = {name: result.get(name) for name in ("status", "duration", "seconds", "gain", "remarks", "error")}
        where = {"device": result.get("device", self.device), "model": self.model}
        where["host"] = result.get("host", platform.node())
        part = {"file": entry.path, "offset": entry.offset, "part": entry.duration}
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {"id": entry.id, **part, **told, **where, "time": when, "job": self.job, "key": entry.key(self.job)}


def model_hash(models: Sequence[torch.nn.Module]) -> str:
    """16 digits of a hash of all parameters and buffers, whatever file they came from."""
    states = [model.state_dict() for model in models]
    tensors = ({name: value for name, value in state.items() if isinstance(value, torch.Tensor)} for state in states)
    return blake2b("".join(map(weights_sha256, tensors)).encode(), digest_size=8).hexdigest()
