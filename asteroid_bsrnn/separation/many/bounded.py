"""A stream of bounded length from one thread to another, which either end can break off."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_LOOK = 1.0  # s; where a signal does not interrupt waiting, it is seen after so long


class GivenUp(Exception):
    """Nobody wants what was to be put."""


class Bounded(Generic[T]):
    """What is put comes out in its order; several threads may take from it, each item goes to one.

    Args:
        size: items that wait at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: deque[T] = deque()
        self.changed = threading.Condition()
        self.ended = self.unwanted = False
        self.error: BaseException | None = None

    def put(self, item: T) -> None:
        """Add an item as soon as there is room.

        Raises:
            GivenUp: if nobody will take it.
        """
        with self.changed:
            while len(self.items) >= self.size and not self.unwanted:
                self.changed.wait(_LOOK)
            if self.unwanted:
                raise GivenUp
            self.items.append(item)
            self.changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; with an error, what waits is not given out any more and whoever takes gets the error."""
        with self.changed:
            if not self.ended:
                self.ended, self.error = True, error
            self.changed.notify_all()

    def give_up(self) -> None:
        """Nothing more is wanted."""
        with self.changed:
            self.unwanted = True
            self.items.clear()
            self.changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self.changed:
                while not (self.items or self.ended):
                    self.changed.wait(_LOOK)
                if self.error is not None:
                    raise self.error
                if not self.items:
                    return
                item = self.items.popleft()
                self.changed.notify_all()
            yield item
