"""Values of a configuration held against the annotations of what reads them."""

import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import UserError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null", list: "a list",
         dict: "a mapping"}  # fmt: skip


def check_types(values: Mapping[str, Any], reader: Callable[..., Any], section: str) -> None:
    """Refuse values of a section that its reader cannot mean; arguments without annotation take anything.

    Whole numbers are numbers too, true and false are none, and NaN is nothing.

    Args:
        values: key -> value.
        reader: function or dataclass whose annotated arguments have the names of the keys.
        section: for the message.

    Raises:
        UserError: naming the key and what is allowed.
    """
    hints = typing.get_type_hints(reader)
    for key, value in values.items():
        if key in hints and not _fits(value, hints[key]):
            raise UserError(f"{section}.{key} must be {_words(hints[key])}, not {value!r}{_hint(value)}")


def check_counts(values: Mapping[str, Any], keys: Sequence[str], section: str) -> None:
    """Refuse whole numbers below 1 where a key limits how many are used; null is no limit."""
    for key in keys:
        if values[key] is not None and values[key] < 1:
            raise UserError(f"{section}.{key} must be 1 or more, or null for all, not {values[key]!r}")


def _hint(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
        return f" (plain YAML reads {value} as text: write {value[0]}.0{value[1:]})"
    return ""


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    return any(_is(value, member) for member in _members(hint))


def _is(value: Any, member: Any) -> bool:
    origin = typing.get_origin(member) or member
    if member is Any or not isinstance(origin, type):
        return True
    if origin in (int, float):
        kinds = (int,) if origin is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and not math.isnan(value)
    if origin in (list, tuple, Sequence):
        return isinstance(value, (list, tuple)) and all(
            _fits(entry, kind) for entry in value for kind in _entries(member)
        )
    return isinstance(value, origin)


def _entries(member: Any) -> list[Any]:
    """What the entries of a list may be; of the first kind where a tuple names several alike."""
    return [kind for kind in typing.get_args(member)[:1] if kind is not ...]


def _words(hint: Any) -> str:
    found = [WORDS.get(typing.get_origin(member) or member, "a list") for member in _members(hint)]
    return " or ".join(dict.fromkeys(found))
