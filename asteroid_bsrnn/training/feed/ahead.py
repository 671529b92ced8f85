"""Recordings of the validation set, read while the one before is scored."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def read_ahead(dataset: Any, indices: Sequence[int], pin: bool) -> Iterator[tuple[int, list]]:
    """``(index, [mixture, sources])`` in this order; the next is read by a thread, at most one.

    Args:
        pin: into page-locked memory, from which a card copies without making the host wait.

    Raises:
        Exception: whatever reading an item raises, when its turn comes.
    """

    def read(index: int) -> list:
        parts = list(dataset[index])
        return [part.pin_memory() for part in parts] if pin else parts

    with ThreadPoolExecutor(1, thread_name_prefix="validation") as reader:
        coming = [reader.submit(read, index) for index in indices[:1]]
        for place, index in enumerate(indices):
            parts = coming.pop().result()
            coming += [reader.submit(read, following) for following in indices[place + 1 : place + 2]]
            yield index, parts
