"""Errors that are meant for the user: one sentence, naming the culprit and what is allowed."""

from pathlib import Path
from typing import Any


class UserError(ValueError):
    """Something the user gave cannot be used; the console command prints it and exits with 2.

    Whatever a configuration, an option or a file can cause is one of these. What only a wrong call can cause (shapes that
    do not fit, a name that is taken) is a ValueError or TypeError, which keeps its traceback.
    """


class AudioError(UserError):
    """An audio file cannot be used.

    Args:
        path: the file, kept as ``error.path``.
        reason: what is wrong with it and what was expected.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


def first_line(error: BaseException) -> str:
    """What an error says first; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
