"""One run on several devices: a process for each, which share its recordings by claims, and one that tells of them."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ..common.errors import UserError
from ..common.surroundings import usable_cores
from .ensemble import Separator
from .many.entries import Entry
from .many.intake import ELSEWHERE
from .many.journal import Summary
from .many.pipeline import separate_many
from .many.places import LocalPlaces
from .many.sharing import Sharing
from .request import Request

_GRACE = 30.0  # s, in which a process that is told to end can undo what it has begun

Build = Callable[[str, int | None], Separator]
Tell = Callable[[Entry, dict[str, Any]], object]


@dataclass(frozen=True)
class Device:
    """What one process computes on: a torch device, and threads where that is a processor (None: its own choice)."""

    name: str
    threads: int | None = None


@dataclass(frozen=True)
class Work:
    """What every process of a run is given.

    Args:
        build: from the name of a device and a number of threads to what separates there; it can be pickled.
        entries: the recordings.
        places, request: see :func:`.many.pipeline.separate_many`.
        folder: of claims and records, see :func:`.many.sharing.work_folder`.
        n_entries: in the whole list, of which ``entries`` may be a shard.
        skip_existing, overwrite: see :func:`.many.pipeline.separate_many`.
    """

    build: Build
    entries: Sequence[Entry]
    places: LocalPlaces
    request: Request
    folder: str
    n_entries: int
    skip_existing: bool = False
    overwrite: bool = False

    def sharing(self, separator: Separator) -> Sharing:
        """Claims and records for one process."""
        return Sharing(self.folder, separator, self.request, self.n_entries, self.overwrite)


def parse_devices(text: str, threads: int | None = None) -> list[Device]:
    """``cpu:4`` is four processes, ``cuda:0,1`` one on each of these GPUs, ``cuda`` one on each that is there.

    Args:
        text: kind and numbers.
        threads: of each process on the processor; the cores are shared out if None.

    Raises:
        UserError: for anything else.
    """
    kind, _, rest = text.partition(":")
    numbers = rest.split(",") if rest else []
    if all(number.isdecimal() for number in numbers):
        if kind == "cpu" and len(numbers) <= 1 and (count := int(numbers[0]) if numbers else 1) > 0:
            return [Device("cpu", threads or max(1, usable_cores() // count))] * count
        if kind == "cuda":
            found = numbers or [str(number) for number in range(torch.cuda.device_count())]
            if found and len(set(found)) == len(found):
                return [Device(f"cuda:{int(number)}", threads) for number in found]
        if kind == "mps" and not numbers:
            return [Device("mps", threads)]
    raise UserError(f"--devices is auto, cpu:4 (processes), cuda (all that are there) or cuda:0,1, not {text!r}")


def separate_on_devices(devices: Sequence[Device], work: Work, tell: Tell) -> Summary:
    """Separate recordings in a process per device; each takes the next that nobody has.

    A process that is killed is missed by nobody but itself: the others do what it had begun.

    Args:
        tell: called once for each recording with its result, see :func:`.many.pipeline.separate_many`.

    Raises:
        UserError: if a process cannot begin.
    """
    begun, results, pool = time.perf_counter(), _Results(work.entries, tell), _Pool(devices, work)
    try:
        pool.begin()
        for name, result in pool.results():
            results.add(name, result)
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()
    results.finish()
    results.summary.seconds = time.perf_counter() - begun
    return results.summary


def started(run: Callable[..., None], *given: Any) -> tuple[Connection, BaseProcess]:
    """A new process that does ``run(pipe, *given)``, and the other end of its pipe."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run, args=(there, *given), daemon=True)
    process.start()
    there.close()
    return here, process


class _Results:
    """Of each recording the first result that says what was done here; what only says that others did it waits."""

    def __init__(self, entries: Sequence[Entry], tell: Tell) -> None:
        self.entries, self.tell, self.summary = {entry.id: entry for entry in entries}, tell, Summary()
        self.told: set[str] = set()
        self.waiting: dict[str, dict[str, Any]] = {}

    def add(self, name: str, result: dict[str, Any]) -> None:
        if name in self.told:
            return
        if result["status"] == "skipped" or result.get("error") == str(ELSEWHERE):
            self.waiting[name] = result
        else:
            self._tell(name, result)

    def finish(self) -> None:
        """Tell of those that were done before, and of those that nobody was left to do."""
        for name, entry in self.entries.items():
            if name not in self.told:
                left = {"file": entry.path, "status": "failed", "error": f"{entry.path}: no process was left to do it"}
                self._tell(name, self.waiting.pop(name, left))

    def _tell(self, name: str, result: dict[str, Any]) -> None:
        self.told.add(name)
        self.waiting.pop(name, None)
        self.summary.add(result)
        self.tell(self.entries[name], result)


class _Pool:
    """The processes, and a pipe to each: a killed one harms no other's."""

    def __init__(self, devices: Sequence[Device], work: Work) -> None:
        self.processes: dict[Connection, tuple[Device, BaseProcess]] = {}
        for device in devices:
            pipe, process = started(_take_part, work, device)
            self.processes[pipe] = device, process

    def begin(self) -> None:
        """Wait until all know what was done before, then let all go: what one does now is news to each."""
        for pipe, (device, _) in self.processes.items():
            try:
                error = pipe.recv()
            except EOFError:
                raise UserError(f"the process for {device.name} ended before it began") from None
            if error is not None:
                raise error
        for pipe in self.processes:
            pipe.send(None)

    def results(self) -> Any:
        """Yield (id, result) of all processes, as they come."""
        open_pipes = list(self.processes)
        while open_pipes:
            for pipe in wait(open_pipes):
                assert isinstance(pipe, Connection)
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    print(f"note: the process on {self.processes[pipe][0].name} has died", file=sys.stderr)
                    message = None
                if message is None:
                    open_pipes.remove(pipe)
                elif isinstance(message, BaseException):
                    raise message
                else:
                    yield message

    def stop(self) -> None:
        """Tell the processes to end; they undo what they have begun."""
        for _, process in self.processes.values():
            process.terminate()

    def join(self) -> None:
        """Wait for the processes."""
        for pipe, (_, process) in self.processes.items():
            pipe.close()
            process.join(_GRACE)


def _take_part(pipe: Connection, work: Work, device: Device) -> None:
    """What one process does; it ends with the first message that nobody takes."""
    try:
        separator = work.build(device.name, device.threads)
        with work.sharing(separator) as sharing:
            sharing.begin(work.entries)
            pipe.send(None)
            pipe.recv()
            separate_many(
                separator, work.entries, work.places, work.request, sharing,
                lambda entry, result: pipe.send((entry.id, result)), None, work.skip_existing, work.overwrite,
            )  # fmt: skip
        pipe.send(None)
    except (EOFError, BrokenPipeError):
        raise SystemExit(1) from None
    except (ValueError, OSError, RuntimeError) as error:
        pipe.send(error)
