"""What goes through the threads of a run: a recording on its way, and what became of one."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from ..memory_limits import is_out_of_memory
from ..opened import OpenRecording
from ..stem_files import Part
from .bounded import Bounded
from .claims import Claim
from .desk import Stopped
from .entries import Entry

_BLOCKS, _PARTS = 4, 4  # of one recording that wait

Say = Callable[["Outcome"], None]


@dataclass(eq=False)
class Job:
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

    def undo(self) -> None:
        """Leave the places of a recording that nobody writes: nothing of it is to be kept."""
        with suppress(Stopped), self.places:
            raise Stopped


@dataclass(frozen=True)
class Outcome:
    """What became of an entry; ``claim`` is still held where that is to be written down yet."""

    entry: Entry
    result: dict[str, Any]
    claim: Claim | None = None
    error: Exception | None = None

    @classmethod
    def failure(cls, entry: Entry, claim: Claim | None, error: Exception) -> "Outcome":
        """An error befell it."""
        return cls(entry, {"file": entry.path, "status": "failed", "error": sentence(error)}, claim, error)

    @classmethod
    def skip(cls, entry: Entry) -> "Outcome":
        """Its stems are there."""
        return cls(entry, {"file": entry.path, "status": "skipped"})


def sentence(error: Exception) -> str:
    """What is told of an error that befell one recording."""
    text = str(error).strip()
    if is_out_of_memory(error):
        return "not enough memory: choose a smaller --segment"
    if isinstance(error, (ValueError, OSError)):
        return text
    return f"{type(error).__name__}: {(text or 'no reason given').splitlines()[0]}"
