"""Contests: each contender in a process of its own, timed in turn, so that no one inherits the other's memory."""

import multiprocessing
import re
import resource
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple


class Spread(NamedTuple):
    """Median and range of repeated measurements."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values):
        """Of a list of numbers."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form="{:.2f}"):
        """``median (least - most)``."""
        return "{} ({} - {})".format(*(form.format(value) for value in self))


class Contender:
    """A process that makes a task once and runs it whenever asked.

    Args:
        make (callable): importable function; ``make(**arguments)`` returns the task, a function without arguments.
        arguments (dict): for ``make``.
        keep_memory (bool): whether the process keeps what it frees (:mod:`asteroid_bsrnn.common.memory`).
        threads (int): of PyTorch.
    """

    def __init__(self, make, arguments, keep_memory, threads):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments, keep_memory, threads))
        self._process.start()
        other.close()

    def ready(self):
        """Wait until the task is made; returns the memory of the process in bytes."""
        return self._answer()

    def _answer(self):
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a process of the benchmark died; is there enough memory?") from None
        if kind == "error":
            raise RuntimeError(f"a process of the benchmark failed: {value}")
        return value

    def run(self):
        """Run the task once.

        Returns:
            tuple: seconds, most memory of the process so far in bytes (of the GPU where there is one).
        """
        self._pipe.send("run")
        return self._answer()

    def close(self):
        """End the process."""
        self._pipe.close()
        self._process.join(60)
        if self._process.is_alive():
            self._process.terminate()


def _serve(pipe, make, arguments, keep_memory, threads):
    import torch

    from asteroid_bsrnn.common.memory import keep_freed_memory

    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()
    try:
        task = make(**arguments)
        pipe.send(("ready", peak_bytes()))
        while pipe.recv() == "run":
            synchronize()
            start = time.perf_counter()
            task()
            synchronize()
            pipe.send(("done", (time.perf_counter() - start, peak_bytes())))
    except EOFError:
        return
    except Exception as error:  # told to the parent, which stops with it
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def synchronize():
    """Wait for the GPU, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes():
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent before this program was started
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Outcome(NamedTuple):
    """What a contest measured for one contender: seconds of each repeat, and memory above that of the idle process."""

    seconds: list
    peak_bytes: int


@contextmanager
def _all_closed(contenders):
    with ExitStack() as stack:
        for contender in contenders.values():
            stack.callback(contender.close)
        yield


def contest(entries, repeats, threads, warm_up=1):
    """Time several contenders in turn.

    Args:
        entries (dict): name -> (make, arguments, keep_memory).
        repeats (int): rounds; in each, every contender runs once.
        threads (int): of PyTorch, the same for all.
        warm_up (int): rounds before that are not counted.

    Returns:
        dict: name -> :class:`Outcome`.
    """
    contenders = {name: Contender(*entry, threads) for name, entry in entries.items()}
    outcomes = {name: ([], 0) for name in entries}
    with _all_closed(contenders):
        idle_bytes = {name: contender.ready() for name, contender in contenders.items()}
        for turn in range(warm_up + repeats):
            for name, contender in contenders.items():
                seconds, peak = contender.run()
                kept = outcomes[name][0] + ([seconds] if turn >= warm_up else [])
                outcomes[name] = (kept, peak - idle_bytes[name])
    return {name: Outcome(*outcome) for name, outcome in outcomes.items()}


def speed_up(baseline, ours):
    """How many times faster ``ours`` is, round by round, as a :class:`Spread`."""
    return Spread.of([slow / fast for slow, fast in zip(baseline.seconds, ours.seconds)])


def timed(task, repeats):
    """Seconds of ``task()`` in this process, one by one, after a first call that is not counted."""
    task()
    return [_seconds(task) for _ in range(repeats)]


def _seconds(task):
    synchronize()
    start = time.perf_counter()
    task()
    synchronize()
    return time.perf_counter() - start


def in_turn(baseline, ours, repeats):
    """Time two tasks in this process in turn, after a first call of each.

    Returns:
        tuple: seconds of the baseline, of ours, :class:`Spread` of the ratio.
    """
    for task in (baseline, ours):
        task()
    pairs = [(_seconds(baseline), _seconds(ours)) for _ in range(repeats)]
    slow, fast = zip(*pairs)
    return list(slow), list(fast), Spread.of([first / second for first, second in pairs])
