"""Many recordings through one separator: threads read ahead and write behind while the network runs.

    readers        -> Job.blocks ->  assemblers      -> Job.parts ->  writers
    claim, decode                    segments, fades                  encode, record, let go
                                        |     ^
                                       the desk: passes of the network, in the calling thread

All queues are bounded, so memory grows with neither the number nor the length of recordings. What is computed of one
recording is what :func:`asteroid_bsrnn.separation.separate_file` computes, block by block. With a batch of 1 every
pass holds one segment, as there: stems are equal to the last bit. With a larger one, segments of equal length share
passes whatever recording they are from, and bits are as the network's arithmetic makes them for a batch.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import torch

from ...common.errors import UserError
from ...common.files import remove_leftovers, remove_old_names
from ..ensemble import Separator
from ..memory_limits import is_out_of_memory
from ..opened import OpenRecording
from ..recordings import separated_parts, stem_names
from ..request import Request
from ..stem_files import Part
from .bounded import Bounded, GivenUp
from .claims import Claim
from .desk import Desk, Stopped
from .entries import Entry
from .places import LocalPlaces
from .records import Summary
from .sharing import Sharing

_READERS, _WRITERS = 2, 2
_AHEAD = 4  # recordings that are open and wait for the network
_BLOCKS, _PARTS = 4, 4  # of one recording that wait
_ROUNDED = 0.01  # s; durations in lists are rounded
_AGAIN = 1.0  # s, after which work that others had is looked at again

Tell = Callable[[Entry, dict[str, Any]], object]
Watch = Callable[[Entry, int, int], object]


@dataclass(eq=False)
class _Job:
    """A recording on its way through the threads; ``seconds`` adds up what they do for it, without waiting."""

    entry: Entry
    claim: Claim | None
    places: ExitStack
    opened: OpenRecording
    blocks: Bounded[torch.Tensor] = field(default_factory=lambda: Bounded(_BLOCKS))
    parts: Bounded[Part] = field(default_factory=lambda: Bounded(_PARTS))
    seconds: float = 0.0

    def stop(self) -> None:
        """Break off, unless all is computed: then it is written."""
        self.blocks.end(Stopped())
        self.blocks.give_up()
        if not self.parts.ended:
            self.parts.end(Stopped())
            self.parts.give_up()


@dataclass(frozen=True)
class _Outcome:
    """What became of an entry; ``claim`` is still held where that is to be written down yet."""

    entry: Entry
    result: dict[str, Any]
    claim: Claim | None = None
    error: Exception | None = None


def separate_many(
    separator: Separator,
    entries: Sequence[Entry],
    places: LocalPlaces,
    request: Request,
    sharing: Sharing | None = None,
    tell: Tell | None = None,
    watch: Watch | None = None,
    skip_existing: bool = False,
    overwrite: bool = False,
    strict: bool = False,
) -> Summary:
    """Separate recordings; one that fails does not keep the others from being done.

    Args:
        separator: what separates.
        entries: the recordings.
        places: where they are, and where stems go.
        request: what is asked of each.
        sharing: claims and records, where other processes may take part; entered by the caller. All of ``entries`` are
            done when this returns, by whomever: what others have begun is waited for, and done here if they die.
        tell: called in this thread with each entry and its result: ``file``, ``status`` (done, failed, skipped) and,
            if done, what :func:`asteroid_bsrnn.separation.separate_file` returns, or ``error``, a sentence.
        watch: called as ``watch(entry, done, total)``, in samples, in other threads.
        skip_existing: leave out recordings whose stems all exist.
        overwrite: replace stems that exist. With ``sharing`` and neither of both, existing stems that no record explains
            are a failure; without, nothing is looked at.
        strict: raise the first error instead.

    Returns:
        Summary: how many were done, failed and left out.

    Raises:
        KeyboardInterrupt, SystemExit: after all that was begun is finished or undone, as whatever ends the work.
    """
    run = _Run(separator, entries, places, request, sharing, tell, watch, skip_existing, overwrite, strict)
    return run.go()


class _Run:
    """The threads of :func:`separate_many`, which has its arguments."""

    def __init__(
        self,
        separator: Separator,
        entries: Sequence[Entry],
        places: LocalPlaces,
        request: Request,
        sharing: Sharing | None,
        tell: Tell | None,
        watch: Watch | None,
        skip_existing: bool,
        overwrite: bool,
        strict: bool,
    ) -> None:
        self.separator, self.entries, self.places, self.request = separator, entries, places, request
        self.sharing, self.tell, self.watch = sharing, tell, watch
        self.skip_existing, self.overwrite, self.strict = skip_existing, overwrite, strict
        self.names = stem_names(request.sources, request.complement)
        self.desk: Desk[_Outcome] = Desk(separator, request.batch, self._told)
        self.opened: Bounded[_Job] = Bounded(_AHEAD)
        self.computed: Bounded[_Job] = Bounded(request.batch + 1)
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.jobs: set[_Job] = set()
        self.tidied: set[str] = set()
        self.summary = Summary()

    def go(self) -> Summary:
        begun = time.perf_counter()
        if self.sharing is not None:
            self.sharing.begin(self.entries)
        self.todo = self._todo()
        threads = [
            *self._stage(self._read, _READERS, self.opened),
            *self._stage(self._assemble, self.request.batch + 1, self.computed, asks=True),
            *self._stage(self._write, _WRITERS),
        ]
        for thread in threads:
            thread.start()
        try:
            self.desk.serve()
        finally:
            self._stop()
            for thread in threads:
                thread.join()
            for job in self.jobs:
                job.places.close()
        self.summary.seconds = time.perf_counter() - begun
        return self.summary

    def _stage(
        self, run: Callable[[], None], n_threads: int, results: Bounded[_Job] | None = None, asks: bool = False
    ) -> list[threading.Thread]:
        """Threads of which the last one ends the queue that they fill."""
        left = n_threads

        def one() -> None:
            nonlocal left
            try:
                run()
            finally:
                with self.lock:
                    left -= 1
                if not left and results is not None:
                    results.end()

        return [self.desk.work(one, asks) for _ in range(n_threads)]

    def _stop(self) -> None:
        self.stopping.set()
        self.desk.stop()
        for queue in (self.opened, self.computed):
            queue.end(Stopped())
            queue.give_up()
        with self.lock:
            for job in self.jobs:
                job.stop()

    def _told(self, outcome: _Outcome) -> None:
        if self.strict and outcome.error is not None:
            raise outcome.error
        if outcome.claim is not None and self.sharing is not None:
            self.sharing.settle(outcome.entry, outcome.claim, outcome.result)
        self.summary.add(outcome.result)
        if self.tell is not None:
            self.tell(outcome.entry, outcome.result)

    def _say(self, entry: Entry, status: str, **more: Any) -> None:
        self.desk.say(_Outcome(entry, {"file": entry.path, "status": status, **more}))

    def _failed(self, entry: Entry, claim: Claim | None, error: Exception) -> None:
        result = {"file": entry.path, "status": "failed", "error": sentence(error)}
        self.desk.say(_Outcome(entry, result, claim, error))

    # Readers

    def _todo(self) -> Iterator[tuple[Entry, Claim | None]]:
        """Entries for this process, claimed where others may take part; what others have comes again at the end."""
        left: Sequence[Entry] = self.entries
        while left and not self.stopping.is_set():
            others = []
            for entry in left:
                claim = self._take(entry)
                if claim is None:
                    others.append(entry)
                elif not isinstance(claim, str):
                    yield entry, claim
                elif claim == "mine":
                    yield entry, None
            left = others
            if left:
                self.stopping.wait(_AGAIN)

    def _take(self, entry: Entry) -> Claim | str | None:
        """As :meth:`.sharing.Sharing.take`; ``"mine"`` where there is nobody to share with."""

        def whole() -> bool:
            return len(self.places.exist(entry, self.names)) == len(self.names)

        if self.sharing is None:
            if not (self.skip_existing and whole()):
                return "mine"
            self._say(entry, "skipped")
            return "skipped"
        claim = self.sharing.take(entry, whole)
        if claim == "done":
            self._say(entry, "skipped")
        elif claim == "failed":
            self._say(entry, "failed", error="failed in another process of this run: its record says why")
        elif isinstance(claim, Claim) and not (self.overwrite or claim.taken_over):
            return self._unless_existing(entry, claim, self.sharing)
        return claim

    def _unless_existing(self, entry: Entry, claim: Claim, sharing: Sharing) -> Claim | str:
        existing = self.places.exist(entry, self.names)
        if self.skip_existing and len(existing) == len(self.names):
            sharing.claims.release(entry.id)
            self._say(entry, "skipped")
            return "skipped"
        if existing and not self.skip_existing:
            error = UserError(f"{existing[0]} exists: choose --overwrite or --skip-existing")
            self._failed(entry, claim, error)
            return "failed"
        return claim

    def _read(self) -> None:
        while True:
            with self.lock_of_todo:
                found = next(self.todo, None)
            if found is None:
                return
            job = self._open(*found)
            if job is not None:
                self._decode(job)

    @functools.cached_property
    def lock_of_todo(self) -> threading.Lock:
        return threading.Lock()

    def _open(self, entry: Entry, claim: Claim | None) -> _Job | None:
        try:
            with ExitStack() as stack:
                path = stack.enter_context(self.places.fetched(entry))
                targets = stack.enter_context(self.places.kept(entry, self.names))
                if claim is None or claim.taken_over:
                    self._tidy(targets)
                part = (entry.offset, entry.duration, _ROUNDED if self.sharing is not None else 0.0)
                opened = OpenRecording(self.separator.sources, path, targets, self.request, *part)
                job = _Job(entry, claim, stack.pop_all(), opened)
        except Exception as error:
            self._failed(entry, claim, error)
            return None
        with self.lock:
            self.jobs.add(job)
        return job

    def _tidy(self, targets: dict[str, Any]) -> None:
        """Remove what a killed process left where the stems go."""
        folder = next(iter(targets.values())).parent
        if str(folder) not in self.tidied and folder.is_dir():
            remove_leftovers(folder)
            remove_old_names(targets.values())
        self.tidied.add(str(folder))

    def _decode(self, job: _Job) -> None:
        begun = time.thread_time()
        try:
            self.opened.put(job)
            with closing(iter(job.opened.reader)) as blocks:
                for block in blocks:
                    job.blocks.put(block)
        except GivenUp:
            return
        except Exception as error:
            job.blocks.end(error)
        job.seconds += time.thread_time() - begun
        job.blocks.end()

    # Assemblers

    def _assemble(self) -> None:
        jobs = iter(self.opened)
        while True:
            with self.desk.away():
                job = next(jobs, None)
                if job is None:
                    return
                self.computed.put(job)
            try:
                self._separate(job)
            except GivenUp:
                job.blocks.give_up()
            except Exception as error:
                job.blocks.give_up()
                job.parts.end(error)

    def _separate(self, job: _Job) -> None:
        begun, opened, request = time.thread_time(), job.opened, self.request

        def blocks() -> Iterator[torch.Tensor]:
            waiting = iter(job.blocks)
            while True:
                with self.desk.away():
                    block = next(waiting, None)
                if block is None:
                    return
                yield block

        def forward(wav: torch.Tensor, layout: int = 0) -> torch.Tensor:
            estimates, seconds = self.desk.ask(wav, layout)
            job.seconds += seconds
            return estimates

        progress = None if self.watch is None else functools.partial(self.watch, job.entry)
        how = (opened.info.sample_rate, request.batch, progress, opened.total, opened.layout, forward)
        with closing(separated_parts(self.separator, blocks(), *how, **request.inference)) as parts:
            for part in parts:
                with self.desk.away():
                    job.parts.put(part)
        job.seconds += time.thread_time() - begun
        job.parts.end()

    # Writers

    def _write(self) -> None:
        for job in self.computed:
            try:
                self._finish(job)
            except Stopped:
                pass
            except Exception as error:
                job.parts.give_up()
                self._failed(job.entry, job.claim, error)
            finally:
                job.parts.give_up()
                with self.lock:
                    self.jobs.discard(job)

    def _finish(self, job: _Job) -> None:
        begun, entry = time.thread_time(), job.entry
        with job.places:
            job.opened.write(job.parts)
        result = job.opened.result(job.seconds + time.thread_time() - begun)
        stems = {name: str(place) for name, place in self.places.stems(entry, self.names).items()}
        seconds = result["frames"] / result["sample_rate"]
        result = {**result, "file": entry.path, "stems": stems, "duration": round(seconds, 3), "status": "done"}
        if self.sharing is not None and job.claim is not None:
            if not self.sharing.settle(entry, job.claim, result):  # this process stood still for long
                return self._say(entry, "skipped")
        self.desk.say(_Outcome(entry, result))


def sentence(error: Exception) -> str:
    """What is told of an error that befell one recording."""
    text = str(error).strip()
    if is_out_of_memory(error):
        return "not enough memory: choose a smaller --segment"
    if isinstance(error, (ValueError, OSError)):
        return text
    return f"{type(error).__name__}: {(text or 'no reason given').splitlines()[0]}"
