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
from contextlib import closing
from typing import Any

import torch

from ..ensemble import Separator
from ..recordings import separated_parts, stem_names
from ..request import Request
from .bounded import Bounded, GivenUp
from .desk import Desk, Stopped
from .entries import Entry
from .intake import Intake
from .jobs import Job, Outcome
from .journal import Summary
from .places import LocalPlaces
from .sharing import Sharing

_READERS, _WRITERS = 2, 2
_AHEAD = 4  # recordings that are open and wait for the network

Tell = Callable[[Entry, dict[str, Any]], object]
Watch = Callable[[Entry, int, int], object]


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
    return _Run(separator, entries, places, request, sharing, tell, watch, skip_existing, overwrite, strict).go()


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
        self.sharing, self.tell, self.watch, self.strict = sharing, tell, watch, strict
        self.names = stem_names(request.sources, request.complement)
        self.desk: Desk[Outcome] = Desk(separator, request.batch, self._told)
        how = (places, request, sharing, self.desk.say, skip_existing, overwrite)
        self.intake = Intake(entries, separator.sources, self.names, *how)
        self.opened: Bounded[Job] = Bounded(_AHEAD)
        self.computed: Bounded[Job] = Bounded(request.batch + 1)
        self.lock = threading.Lock()
        self.jobs: set[Job] = set()
        self.summary = Summary()

    def go(self) -> Summary:
        begun, n_threads = time.perf_counter(), torch.get_num_threads()
        if self.sharing is not None:
            self.sharing.begin(self.entries)
        threads = [
            *self._stage(self._read, _READERS, self.opened),
            *self._stage(self._assemble, self.request.batch + 1, self.computed, asks=True),
            *self._stage(self._write, _WRITERS),
        ]
        self.single = threading.Barrier(len(threads) + 1)
        try:
            for thread in threads:
                thread.start()
            self.single.wait()
            torch.set_num_threads(n_threads)  # MKL has one number for all threads, and they have set it
            self.desk.serve()
        finally:
            self._stop()
            torch.set_num_threads(n_threads)
            for thread in threads:
                if thread.ident is not None:  # it was started
                    thread.join()
            for job in self.jobs:
                job.undo()
        self.summary.seconds = time.perf_counter() - begun
        return self.summary

    def _stage(
        self, run: Callable[[], None], n_threads: int, results: Bounded[Job] | None = None, asks: bool = False
    ) -> list[threading.Thread]:
        """Threads of which the last one ends the queue that they fill."""
        left = n_threads

        def one() -> None:
            nonlocal left
            try:
                self._compute_alone()
                run()
            finally:
                with self.lock:
                    left -= 1
                if not left and results is not None:
                    results.end()

        return [self.desk.work(one, asks) for _ in range(n_threads)]

    def _compute_alone(self) -> None:
        """PyTorch computes in this thread without others.

        OpenMP gives every thread that computes a team. As soon as all teams together are more than there are cores, no
        team waits awake any more: the network's fell asleep and was woken 1100 times for 5 s of audio.
        """
        torch.get_num_threads()  # the first call in a thread sets what is usual
        torch.set_num_threads(1)
        self.single.wait()

    def _stop(self) -> None:
        self.single.abort()
        self.intake.stop()
        self.desk.stop()
        for queue in (self.opened, self.computed):
            queue.end(Stopped())
            queue.give_up()
        with self.lock:
            for job in self.jobs:
                job.stop()

    def _told(self, outcome: Outcome) -> None:
        if self.strict and outcome.error is not None:
            raise outcome.error
        if outcome.claim is not None and self.sharing is not None:
            self.sharing.settle(outcome.entry, outcome.claim, outcome.result)
        self.summary.add(outcome.result)
        if self.tell is not None:
            self.tell(outcome.entry, outcome.result)

    # Readers

    def _read(self) -> None:
        while (job := self.intake.next_job()) is not None:
            with self.lock:
                self.jobs.add(job)
            self._decode(job)

    def _decode(self, job: Job) -> None:
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

    def _separate(self, job: Job) -> None:
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
        how = (opened.info.sample_rate, request.batch, progress, opened.total, opened.layout, forward, opened.level)
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
                self.desk.say(Outcome.failure(job.entry, job.claim, error))
            finally:
                job.parts.give_up()
                with self.lock:
                    self.jobs.discard(job)

    def _finish(self, job: Job) -> None:
        begun, entry = time.thread_time(), job.entry
        with job.places:
            job.opened.write(job.parts)
        result = job.opened.result(job.seconds + time.thread_time() - begun)
        stems = {name: str(place) for name, place in self.places.stems(entry, self.names).items()}
        seconds = result["frames"] / result["sample_rate"]
        result = {**result, "file": entry.path, "stems": stems, "duration": round(seconds, 3), "status": "done"}
        if self.sharing is not None and job.claim is not None:
            if not self.sharing.settle(entry, job.claim, result):  # this process stood still for long
                return self.desk.say(Outcome.skip(entry))
        self.desk.say(Outcome(entry, result))
