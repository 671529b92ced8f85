"""Where recordings are and where stems go, as the pipeline asks for it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..addresses import exists, fetched, is_address, join, local_or_address, named_as, open_output, put_all
from .entries import DEFAULT_PATTERN, Entry, out_path


class LocalPlaces:
    """Recordings that are files or addresses, and a folder of this machine for the stems.

    Whoever has stems elsewhere gives the pipeline another class with these members.

    Args:
        out: folder for the stems.
        fmt: their suffix.
        pattern: of their names, see :func:`.entries.check_pattern`.
    """

    def __init__(self, out: str | Path, fmt: str = "wav", pattern: str = DEFAULT_PATTERN) -> None:
        self.out, self.fmt, self.pattern = out, fmt, pattern

    def stems(self, entry: Entry, names: list[str]) -> dict[str, Any]:
        """Name of the stem -> where it goes."""
        return {name: out_path(self.out, entry.id, name, self.fmt, self.pattern) for name in names}

    def exist(self, entry: Entry, names: list[str]) -> list[Any]:
        """Those of the stems that are there."""
        return [path for path in self.stems(entry, names).values() if path.exists()]

    @contextmanager
    def fetched(self, entry: Entry) -> Iterator[Path]:
        """The recording as a file, as long as the context lasts."""
        place = local_or_address(entry.path)
        if is_address(place):
            with fetched(entry.path) as copy, named_as(entry.path, copy):
                yield copy
        else:
            yield Path(place)

    @contextmanager
    def kept(self, entry: Entry, names: list[str]) -> Iterator[dict[str, Path]]:
        """Where to write stems; when the context ends without an error, they are where :meth:`stems` says."""
        yield self.stems(entry, names)


class StoredPlaces(LocalPlaces):
    """Recordings that are files or addresses, and an address below which the stems go.

    Raises:
        UserError: for an address that cannot be written to.
    """

    def __init__(self, out: str, fmt: str = "wav", pattern: str = DEFAULT_PATTERN) -> None:
        super().__init__(out, fmt, pattern)
        open_output(out)

    def stems(self, entry: Entry, names: list[str]) -> dict[str, Any]:
        return {name: self._address(path) for name, path in self._relative(entry, names).items()}

    def exist(self, entry: Entry, names: list[str]) -> list[Any]:
        return [address for address in self.stems(entry, names).values() if exists(address)]

    @contextmanager
    def kept(self, entry: Entry, names: list[str]) -> Iterator[dict[str, Path]]:
        with tempfile.TemporaryDirectory(prefix="asteroid_bsrnn_") as folder:
            inside = self._relative(entry, names)
            yield {name: Path(folder) / path for name, path in inside.items()}
            put_all({Path(folder) / path: self._address(path) for path in inside.values()})

    def _relative(self, entry: Entry, names: list[str]) -> dict[str, Path]:
        return {name: out_path("", entry.id, name, self.fmt, self.pattern) for name in names}

    def _address(self, path: Path) -> str:
        return join(str(self.out), *path.parts)


def places_at(out: str | Path, fmt: str = "wav", pattern: str = DEFAULT_PATTERN) -> LocalPlaces:
    """The places for stems in a folder, or below an address."""
    place = local_or_address(out)
    return StoredPlaces(str(place), fmt, pattern) if is_address(place) else LocalPlaces(place, fmt, pattern)
