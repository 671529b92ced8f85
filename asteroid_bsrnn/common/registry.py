"""Things that are found by name: models, losses and data sets, as in the host's own modules."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from .errors import UserError

Entry = TypeVar("Entry")


def nearest(name: Any, known: Iterable[Any], cutoff: float = 0.5) -> str:
    """``"did you mean 'x'? "`` for the known name that is nearest to a wrong one, or nothing."""
    near = get_close_matches(str(name), [str(entry) for entry in known], n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}? " if near else ""


def check_known(kind: str, value: Any, known: Iterable[Any], where: str = "") -> None:
    """Refuse a value that is not among ``known``.

    Args:
        kind: what it is, for the message.
        value: what was given.
        known: what is allowed.
        where: what stands behind the value in the message.

    Raises:
        UserError: with the nearest known one, and all of them.
    """
    known = list(known)
    if value not in known:
        allowed = f"{nearest(value, known)}known are {', '.join(map(str, known))}"
        raise UserError(f"unknown {kind} {value!r}{' ' + where if where else ''}: {allowed}")


class Registry:
    """Case-insensitive table of named classes, functions or values.

    Args:
        kind: what the entries are, for error messages (``"model"``).
        fallback: looked up when we do not know a name; returns None for an unknown one.
    """

    def __init__(self, kind: str, fallback: Callable[[str], Any] | None = None) -> None:
        self.kind, self.fallback = kind, fallback
        self.entries: dict[str, Any] = {}

    def register(self, entry: Entry) -> Entry:
        """Add ``entry`` under its name and return it (so it serves as a decorator). Twice is harmless.

        The name is ``entry.__name__`` of a class or function, ``entry.name`` of any other value.

        Raises:
            ValueError: if another object already has this name.
        """
        known = self.entries.setdefault(_name(entry).lower(), entry)
        if known is not entry:
            raise ValueError(f"another {self.kind} is already registered as {_name(known)!r}")
        return entry

    def names(self) -> list[str]:
        """Names of our own entries, sorted."""
        return sorted(_name(entry) for entry in self.entries.values())

    def values(self) -> list[Any]:
        """Our own entries, in the order of their registration."""
        return list(self.entries.values())

    def get(self, name: Any) -> Any:
        """The entry called ``name``; whatever is no string is passed through.

        Raises:
            ValueError: for an unknown name, with the nearest known one.
        """
        if not isinstance(name, str):
            return name
        entry = self.entries.get(name.lower()) or (self.fallback(name) if self.fallback else None)
        if entry is None:
            check_known(self.kind, name, self.names())
        return entry


def _name(entry: Any) -> str:
    return getattr(entry, "__name__", None) or entry.name
