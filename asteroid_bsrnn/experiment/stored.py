"""A JSON object as a dataclass: known keys are attributes; those of other versions are kept and written back."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..common.errors import UserError
from ..common.files import read_json

T = TypeVar("T", bound="Stored")


def read_object(path: str | Path) -> dict[str, Any]:
    """Content of a JSON file.

    Raises:
        UserError: if it is not valid, or no object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object: it holds a {type(content).__name__}")
    return content


@dataclass(kw_only=True)
class Stored:
    """Base of what is stored.

    Args:
        more: entries without a name of their own here.
    """

    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls: type[T], content: dict[str, Any]) -> T:
        """From a JSON object; an entry that is absent or null has its default."""
        known = {entry.name for entry in fields(cls)} - {"more"}
        values = {key: value for key, value in content.items() if key in known and value is not None}
        return cls(**values, more={key: value for key, value in content.items() if key not in known})

    @classmethod
    def read(cls: type[T], path: str | Path) -> T:
        """From a file.

        Raises:
            UserError: if it is not valid JSON, or no object.
        """
        return cls.of(read_object(path))

    def content(self) -> dict[str, Any]:
        """The JSON object: every entry, null for what is not known."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "more"}
        return {**values, **self.more}

    def __getitem__(self, key: str) -> Any:
        """``entry["kwh"]``: version 0.1.0 gave these as dictionaries."""
        return self.content()[key]
