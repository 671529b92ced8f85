"""What is to be separated: one entry a recording or a part of one, from a list, from names and from folders."""

import io
import json
import math
import numbers
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...common.errors import UserError
from ..addresses import is_address, local_or_address, read_text

_PATHS = ("path", "audio_filepath")  # the second one is that of speech corpora's manifests
_PLACEHOLDERS = ("{id}", "{source}")
DEFAULT_PATTERN = "{id}/{source}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording, or a part of one.

    Args:
        id: name of its stems, unique in the list; slashes in it are folders.
        path: the file, or an address.
        offset: where the part begins, seconds.
        duration: length of the part, seconds; None: to the end.
    """

    id: str
    path: str
    offset: float = 0.0
    duration: float | None = None

    def key(self, job: str = "") -> str:
        """What names this work in claims and records: 16 digits of a hash of all fields and of what is asked for."""
        text = "\0".join((self.id, self.path, repr(self.offset), repr(self.duration), job))
        return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list: an entry that has no name yet, unless the list gives one.

    Args:
        path, offset, duration: see :class:`Entry`.
        id: the list's own name, or None.
        number: of the line, from 1; 0 outside lists.
    """

    path: str
    offset: float = 0.0
    duration: float | None = None
    id: str | None = None
    number: int = field(default=0, compare=False)


def read_list(file: str | Path) -> list[Line]:
    """The lines of a list, each once; empty ones are left out. The recordings themselves are not looked at.

    A line is a path, or a JSON object with ``path`` (or ``audio_filepath``) and, if wanted, ``id``, ``offset`` and
    ``duration`` in seconds; other keys are left alone. Relative paths begin where the command was called.

    Raises:
        UserError: for a file that cannot be read or holds nothing, and for a line that cannot be used.
    """
    lines: dict[Line, None] = {}
    try:
        with _opened(file) as text:
            for number, content in enumerate(text, 1):
                content = content.strip("\r\n")
                if content.strip():
                    lines.setdefault(_line(content, number, f"{file}, line {number}"))
    except OSError as error:
        raise UserError(f"the list {file} cannot be read: {error.strerror}") from None
    if not lines:
        raise UserError(f"the list {file} names no recordings")
    return list(lines)


def _opened(file: str | Path) -> IO[str]:
    place = local_or_address(file)
    if is_address(place):
        return io.StringIO(read_text(str(place)))
    return open(place, encoding="utf-8-sig", errors="surrogateescape")


def _line(content: str, number: int, where: str) -> Line:
    if not content.lstrip().startswith("{"):
        return Line(content, number=number)
    try:
        given = json.loads(content)
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON: {error}") from None
    path = next((given[name] for name in _PATHS if name in given), None)
    if not isinstance(path, str) or not path:
        raise UserError(f"{where} names no recording: it needs the key path, a text")
    own = given.get("id")
    if own is not None and not isinstance(own, (str, int)):
        raise UserError(f"{where} has an id that is neither a text nor a whole number: {own!r}")
    offset, duration = given.get("offset") or 0.0, given.get("duration")
    if not _seconds(offset) or offset < 0 or duration is not None and not (_seconds(duration) and duration > 0):
        raise UserError(
            f"{where}: offset is at least 0 s and duration more than 0 s, not {given.get('offset')!r} and {duration!r}"
        )
    part = None if duration is None else float(duration)
    return Line(path, float(offset), part, None if own is None else checked_id(str(own), where), number)


def _seconds(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def checked_id(own: str, where: str) -> str:
    """An id that can be a folder below the one for the stems, or a UserError."""
    parts = PurePosixPath(own).parts
    if not parts or own.startswith("/") or "\0" in own or "\\" in own or {".", ".."} & set(own.split("/")):
        raise UserError(f"{where}: the id {own!r} cannot name a folder below the one for the stems")
    return "/".join(parts)


def check_pattern(pattern: str) -> str:
    """A pattern of names below the folder for the stems, in which {id} and {source} are filled in; the suffix is added.

    Raises:
        UserError: for one that does not tell stems or recordings apart, or leaves the folder.
    """
    rest = pattern
    for name in _PLACEHOLDERS:
        if name not in pattern:
            raise UserError(f"--out-pattern {pattern!r} needs {' and '.join(_PLACEHOLDERS)}: {name} is missing")
        rest = rest.replace(name, "x")
    if "{" in rest or "}" in rest:
        raise UserError(f"--out-pattern {pattern!r} may hold {' and '.join(_PLACEHOLDERS)} only")
    checked_id(rest, f"--out-pattern {pattern!r}")
    return pattern


def out_path(out: str | Path, entry_id: str, source: str, fmt: str, pattern: str = DEFAULT_PATTERN) -> Path:
    """Where a stem goes."""
    return Path(out, f"{pattern.replace('{source}', source).replace('{id}', entry_id)}.{fmt}")


def fingerprint(entries: Iterable[Entry]) -> str:
    """12 digits of a hash of all entries in their order."""
    total = blake2b(digest_size=6)
    for entry in entries:
        total.update(entry.key().encode())
    return total.hexdigest()


def folder_parts(path: str) -> list[str]:
    """The folders of a file or an address, from the root down."""
    return (path if "://" in path else os.path.abspath(path).replace(os.sep, "/")).split("/")[:-1]


def common_parts(folders: Iterator[list[str]] | list[list[str]]) -> list[str]:
    """The folders that all have in common, from the root down."""
    common: list[str] | None = None
    for parts in folders:
        if common is None:
            common = parts
        elif parts[: len(common)] != common:
            same = (number for number, (one, other) in enumerate(zip(common, parts)) if one != other)
            common = common[: next(same, min(len(common), len(parts)))]
    return common or []
