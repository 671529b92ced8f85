"""What one thread does for all others of a run: passes of the network, in which recordings may share, and telling.

The network runs in the thread that called for the run, where signals arrive too: a recording that failed because a signal
ended a helper of its decoder is not told as failed, the signal is seen before.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from ..ensemble import Forward

T = TypeVar("T")
_LOOK = 1.0  # s, see bounded.py
_UNTOLD = 1000


class Stopped(Exception):
    """The run ends before its work is done."""


@dataclass(eq=False)
class _Pass:
    """Segments that wait for the network.

    Args:
        wav: (batch, channels, time).
        layout: of the channels.
        seconds: what this share of a pass took.
    """

    wav: torch.Tensor
    layout: int
    estimates: torch.Tensor | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def fits(self, other: "_Pass") -> bool:
        """Whether both can share a pass."""
        return self.layout == other.layout and self.wav.shape[1:] == other.wav.shape[1:]


class Desk(Generic[T]):
    """Passes and outcomes, as they come.

    Args:
        forward: the network.
        batch: segments in one pass at most, unless one request has more.
        tell: called with each outcome.
    """

    def __init__(self, forward: Forward, batch: int, tell: Callable[[T], None]) -> None:
        self.forward, self.batch, self.tell = forward, batch, tell
        self.changed = threading.Condition(threading.RLock())
        self.waiting: deque[_Pass] = deque()
        self.in_hand: list[_Pass] = []
        self.outcomes: deque[T] = deque()
        self.n_threads = self.n_busy = 0
        self.failure: BaseException | None = None

    def work(self, run: Callable[[], None], asks: bool = False) -> threading.Thread:
        """A thread that runs for this desk; what it raises ends the run.

        Args:
            asks: whether it asks for passes.
        """

        def guarded() -> None:
            try:
                run()
            except BaseException as error:
                with self.changed:
                    self.failure = self.failure or error
            finally:
                with self.changed:
                    self.n_threads -= 1
                    self.n_busy -= asks
                    self.changed.notify_all()

        self.n_threads += 1
        self.n_busy += asks
        return threading.Thread(target=guarded, daemon=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """While a thread that asks for passes waits for something else, none is held back for it."""
        with self.changed:
            self.n_busy -= 1
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.n_busy += 1

    def ask(self, wav: torch.Tensor, layout: int) -> tuple[torch.Tensor, float]:
        """Estimates for segments, and the seconds that they took."""
        request = _Pass(wav, layout)
        with self.changed:
            if self.failure is not None:
                raise Stopped
            self.waiting.append(request)
            self.n_busy -= 1
            self.changed.notify_all()
        request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.estimates is not None
        return request.estimates, request.seconds

    def say(self, outcome: T) -> None:
        """Have an outcome told; waits while many are untold."""
        with self.changed:
            while len(self.outcomes) >= _UNTOLD and self.failure is None:
                self.changed.wait(_LOOK)
            self.outcomes.append(outcome)
            self.changed.notify_all()

    def serve(self) -> None:
        """Do what the other threads ask for until the last one has ended.

        Raises:
            BaseException: what a thread raised, what ``tell`` raises, or what a signal does.
        """
        while True:
            with self.changed:
                while not (self.failure or self.outcomes or self._ready() or not self.n_threads):
                    self.changed.wait(_LOOK)
                if self.failure is not None:
                    raise self.failure
                outcomes, group = list(self.outcomes), self._take() if self._ready() else []
                self.outcomes.clear()
                self.changed.notify_all()
            for outcome in outcomes:
                self.tell(outcome)
            if group:
                self._answer(group)
            elif not outcomes:
                return

    def stop(self) -> None:
        """No more passes: whoever waits for one gets :class:`Stopped`."""
        with self.changed:
            self.failure = self.failure or Stopped()
            for request in (*self.waiting, *self.in_hand):
                if not request.done.is_set():
                    request.error = Stopped()
                    self._hand_back([request])
            self.waiting.clear()
            self.changed.notify_all()

    def _ready(self) -> bool:
        return bool(self.waiting) and (self.n_busy <= 0 or len(self._fitting()) > 0)

    def _fitting(self) -> list[_Pass]:
        """Requests that fill a pass, or nothing if more could still come."""
        for first in self.waiting:
            group = self._with(first)
            if sum(len(request.wav) for request in group) >= self.batch:
                return group
        return []

    def _with(self, first: _Pass) -> list[_Pass]:
        """A request and those that share its pass."""
        group, total = [first], len(first.wav)
        for other in self.waiting:
            if other is not first and first.fits(other) and total + len(other.wav) <= self.batch:
                group.append(other)
                total += len(other.wav)
        return group

    def _take(self) -> list[_Pass]:
        group = self._fitting() or self._with(self.waiting[0])
        self.in_hand = group  # before they leave the queue: a signal may come at any moment
        for request in group:
            self.waiting.remove(request)
        return group

    def _answer(self, group: list[_Pass]) -> None:
        begun = time.perf_counter()
        try:
            wav = group[0].wav if len(group) == 1 else torch.cat([request.wav for request in group])
            with torch.no_grad():
                found = self.forward(wav, group[0].layout).split([len(request.wav) for request in group])
        except Exception as error:
            if len(group) > 1:  # whatever is wrong with one recording does not touch another
                for request in group:
                    self._answer([request])
                return
            group[0].error = error
        except BaseException:
            for request in group:
                request.error = Stopped()
            self._hand_back(group)
            raise
        else:
            for request, estimates in zip(group, found):
                request.estimates = estimates
                request.seconds = (time.perf_counter() - begun) * len(request.wav) / len(wav)
        self._hand_back(group)

    def _hand_back(self, group: list[_Pass]) -> None:
        """Wake those who asked, who are busy from now on."""
        with self.changed:
            self.n_busy += len(group)
        for request in group:
            request.done.set()
