"""Things that are found by name: models, losses and data sets, as in the host's own modules."""
from difflib import get_close_matches


class Registry:
    """Case-insensitive table of named classes or functions.

    Args:
        kind (str): what the entries are, for error messages (``"model"``).
        fallback (callable, optional): looked up when we do not know a name; returns None for an unknown one.
    """

    def __init__(self, kind, fallback=None):
        self.kind, self.fallback, self.entries = kind, fallback, {}

    def register(self, entry):
        """Add ``entry`` under its ``__name__`` and return it (so it serves as a decorator). Twice is harmless.

        Raises:
            ValueError: if another object already has this name.
        """
        known = self.entries.setdefault(entry.__name__.lower(), entry)
        if known is not entry:
            raise ValueError(f"another {self.kind} is already registered as {known.__name__!r}")
        return entry

    def names(self):
        """Names of our own entries, sorted."""
        return sorted(entry.__name__ for entry in self.entries.values())

    def get(self, name):
        """The entry called ``name``; whatever is no string is passed through.

        Raises:
            ValueError: for an unknown name, with the nearest known one.
        """
        if not isinstance(name, str):
            return name
        entry = self.entries.get(name.lower()) or (self.fallback(name) if self.fallback else None)
        if entry is None:
            near = get_close_matches(name, self.names(), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"unknown {self.kind} {name!r}: {hint}known are {', '.join(self.names())}")
        return entry
