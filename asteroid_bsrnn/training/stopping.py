"""The request to stop: SIGTERM and SIGUSR1 end a run after the present step, with everything saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # of the user, and at the time limit of a cluster


class Interrupted(SystemExit):
    """The run was asked to stop; everything is saved. Exits with 128 + the number of the signal."""


@dataclass
class StopRequest:
    """What the loop looks at between two steps."""

    signal: int = 0  # number of the signal that asks to stop, 0 if none has


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Within this block the signals make a request of themselves (in the main thread only, where Python hears them)."""
    request = StopRequest()
    heard = SIGNALS if threading.current_thread() is threading.main_thread() else ()

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number

    old = {number: signal.signal(number, note) for number in heard}
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
