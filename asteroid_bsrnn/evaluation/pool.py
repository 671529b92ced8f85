"""Tracks in parallel, with a progress bar and never more of them in memory than jobs."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from tqdm import tqdm

from ..common.errors import UserError


def n_jobs(jobs: int | None) -> int:
    """Number of workers: ``None`` means one for each core, at most four.

    Raises:
        UserError: for less than one.
    """
    if jobs is None:
        return min(os.cpu_count() or 1, 4)
    if jobs < 1:
        raise UserError(f"jobs must be 1 or more, got {jobs}")
    return jobs


def shard_of(names: list[str], shard: tuple[int, int] | None) -> list[str]:
    """The names of one of several tasks, (place from 1, number of tasks): every n-th; all if None."""
    return names if shard is None else names[shard[0] - 1 :: shard[1]]


def each(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    jobs: int | None = None,
    unit: str = "track",
    progress: bool = True,
    label: str | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Run ``function(item)`` for each item and yield ``(item, result)`` as they finish.

    Threads serve here: decoding, FFTs and tensor operations all release the interpreter. An item is started only
    when another one has finished and been taken. The first error stops the rest; what was yielded is done.

    Args:
        function: called with one item.
        items: what to work on.
        jobs: workers, see :func:`n_jobs`.
        unit: what an item is, for the progress bar.
        progress: show the bar.
        label: what stands before the bar.
    """
    jobs = min(n_jobs(jobs), max(len(items), 1))
    with tqdm(total=len(items), unit=unit, desc=label, disable=not progress, dynamic_ncols=True) as bar:
        for item, result in _in_threads(function, items, jobs) if jobs > 1 else ((i, function(i)) for i in items):
            bar.update()
            yield item, result


def score_each(
    score: Callable[[str], dict[str, Any]],
    names: list[str],
    jobs: int | None,
    shard: tuple[int, int] | None = None,
    **shown: Any,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The records of the recordings that can be scored, and why the others cannot.

    Args:
        score: from a name to its record.
        names: of the recordings.
        jobs, **shown: as of :func:`each`.
        shard: as of :func:`shard_of`.
    """

    def attempt(name: str) -> dict[str, Any] | str:
        try:
            return score(name)
        except UserError as error:
            return str(error)

    names = shard_of(names, shard)
    done = dict(each(attempt, names, jobs, **shown))
    problems = {name: result for name, result in done.items() if isinstance(result, str)}
    return [done[name] for name in names if name not in problems], problems


def _in_threads(function: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Iterator[tuple[Any, Any]]:
    waiting = iter(items)
    running: dict[Future, Any] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        while True:
            while len(running) < jobs and (item := next(waiting, None)) is not None:
                running[pool.submit(function, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
