"""Where recordings are and where stems go, as the pipeline asks for it; here: files of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .entries import DEFAULT_PATTERN, Entry, out_path


class LocalPlaces:
    """Recordings that are files, and a folder for the stems.

    Whoever has them elsewhere gives the pipeline another class with these members.

    Args:
        out: folder for the stems.
        fmt: their suffix.
        pattern: of their names, see :func:`.entries.check_pattern`.
    """

    def __init__(self, out: str | Path, fmt: str = "wav", pattern: str = DEFAULT_PATTERN) -> None:
        self.out, self.fmt, self.pattern = out, fmt, pattern

    def stems(self, entry: Entry, names: list[str]) -> dict[str, Path]:
        """Name of the stem -> where it goes."""
        return {name: out_path(self.out, entry.id, name, self.fmt, self.pattern) for name in names}

    def exist(self, entry: Entry, names: list[str]) -> list[Path]:
        """Those of the stems that are there."""
        return [path for path in self.stems(entry, names).values() if path.exists()]

    @contextmanager
    def fetched(self, entry: Entry) -> Iterator[Path]:
        """The recording as a file, as long as the context lasts."""
        yield Path(entry.path)

    @contextmanager
    def kept(self, entry: Entry, names: list[str]) -> Iterator[dict[str, Path]]:
        """Where to write stems; when the context ends without an error, they are where :meth:`stems` says."""
        yield self.stems(entry, names)
