"""The next recording that this process may do: not done yet, nobody else's, open, and with room for its stems."""

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ...common.errors import UserError
from ...common.files import remove_leftovers, remove_old_names
from ..opened import OpenRecording
from ..request import Request
from .claims import Claim
from .entries import Entry
from .jobs import Job, Outcome, Say
from .places import LocalPlaces
from .sharing import Sharing

_AGAIN = 1.0  # s, after which work that others had is looked at again
_ROUNDED = 0.01  # s; durations in lists are rounded
ELSEWHERE = UserError("failed in another process of this run: its record says why")


class Intake:
    """Recordings for the readers of a run, each once.

    Args:
        sources: all that the separator gives.
        names: of all stems that are written.
        say: takes what becomes of recordings that are not given out.
        entries, places, request, sharing, skip_existing, overwrite: see :func:`.pipeline.separate_many`.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        sources: Sequence[str],
        names: list[str],
        places: LocalPlaces,
        request: Request,
        sharing: Sharing | None,
        say: Say,
        skip_existing: bool,
        overwrite: bool,
    ) -> None:
        self.sources, self.names, self.places, self.request, self.sharing = sources, names, places, request, sharing
        self.say, self.skip_existing, self.overwrite = say, skip_existing, overwrite
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.tidied: set[str] = set()
        self.offers = self._alone(entries) if sharing is None else self._claimed(entries, sharing)

    def stop(self) -> None:
        """Give out no more."""
        self.stopped.set()

    def next_job(self) -> Job | None:
        """The next one that could be opened, None after the last; for any number of threads."""
        while True:
            with self.lock:
                found = next(self.offers, None)
            if found is None:
                return None
            job = self._open(*found)
            if job is not None:
                return job

    def _alone(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, None]]:
        for entry in entries:
            if self.stopped.is_set():
                return
            if self.skip_existing and self._whole(entry):
                self.say(Outcome.skip(entry))
            else:
                yield entry, None

    def _claimed(self, entries: Sequence[Entry], sharing: Sharing) -> Iterator[tuple[Entry, Claim]]:
        """What others are at comes again when everything else is done, in case they die."""
        while entries and not self.stopped.is_set():
            others = []
            for entry in entries:
                if self.stopped.is_set():
                    return
                state = sharing.take(entry, functools.partial(self._whole, entry))
                if state is None:
                    others.append(entry)
                elif state == "done":
                    self.say(Outcome.skip(entry))
                elif isinstance(state, str):
                    self.say(Outcome.failure(entry, None, ELSEWHERE))
                elif self._may_write(entry, state, sharing):
                    yield entry, state
            entries = others
            if entries:
                self.stopped.wait(_AGAIN)

    def _whole(self, entry: Entry) -> bool:
        return len(self.places.exist(entry, self.names)) == len(self.names)

    def _may_write(self, entry: Entry, claim: Claim, sharing: Sharing) -> bool:
        """Whether there is nothing in the place of its stems that should stay; what a killed process left should not."""
        if self.overwrite or claim.taken_over:
            return True
        existing = self.places.exist(entry, self.names)
        if self.skip_existing and len(existing) == len(self.names):
            sharing.claims.release(entry.id)
            self.say(Outcome.skip(entry))
            return False
        if existing and not self.skip_existing:
            error = UserError(f"{existing[0]} exists: choose --overwrite or --skip-existing")
            self.say(Outcome.failure(entry, claim, error))
            return False
        return True

    def _open(self, entry: Entry, claim: Claim | None) -> Job | None:
        try:
            with ExitStack() as stack:
                path = stack.enter_context(self.places.fetched(entry))
                targets = stack.enter_context(self.places.kept(entry, self.names))
                if claim is None or claim.taken_over:
                    self._tidy(targets)
                part = (entry.offset, entry.duration, 0.0 if claim is None else _ROUNDED)
                opened = OpenRecording(self.sources, path, targets, self.request, *part)
                return Job(entry, claim, stack.pop_all(), opened)
        except Exception as error:
            self.say(Outcome.failure(entry, claim, error))
            return None

    def _tidy(self, targets: Mapping[str, Path]) -> None:
        """Remove what a killed process left where the stems go."""
        folder = next(iter(targets.values())).parent
        if str(folder) not in self.tidied and folder.is_dir():
            remove_leftovers(folder)
            remove_old_names(targets.values())
        self.tidied.add(str(folder))
