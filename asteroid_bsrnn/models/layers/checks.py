"""Checks of constructor arguments: one validator for all families. Each error names the argument, its value, what is allowed."""

import math
from collections.abc import Iterable
from typing import Any

from ...common.errors import UserError
from ...common.registry import check_known as check_known


def as_lists(value: Any) -> Any:
    """Lists, tuples and arrays of any depth as lists, numbers of NumPy as Python's, the rest as it is: what a file holds."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [as_lists(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def set_plain(config: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass from its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(config, name, value)


def source_names(sources: Any) -> tuple[str, ...]:
    """Names of the sources as a tuple, of a single one too.

    Raises:
        UserError: if they are no sequence of different names.
    """
    names = (sources,) if isinstance(sources, str) else sources
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"sources must be one or more names, got {sources!r}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"sources must differ, got {', '.join(sorted(twice))} more than once")
    return tuple(names)


def numbered(count: int) -> tuple[str, ...]:
    """Names of sources that nobody named: ``s1, s2, ...``."""
    return tuple(f"s{index + 1}" for index in range(count))


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Refuse whatever is no whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        limit = f"at least {least}" if most is None else f"{least} to {most}"
        raise UserError(f"{name} must be a whole number of {limit}, got {value!r}")


def whole_numbers(config: Any, names: Iterable[str], least: int = 1) -> None:
    """:func:`whole` for several fields of a configuration."""
    for name in names:
        whole(name, getattr(config, name), least)


def whole_list(name: str, values: Any, words: str, least: int = 1, most: float = math.inf) -> None:
    """Refuse whatever is no list of ``least`` to ``most`` whole numbers from 1 on; ``words`` says what it must be."""
    if not isinstance(values, (list, tuple)) or not least <= len(values) <= most:
        raise UserError(f"{name} must be {words}, got {values!r}")
    for value in values:
        whole(f"each of {name}", value)


def number(name: str, value: Any, above: float | None = None, least: float | None = None) -> None:
    """Refuse whatever is no number, or not above (at least) a bound."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    if not fits or (above is not None and not value > above) or (least is not None and not value >= least):
        bound = f" above {above}" if above is not None else f" of at least {least}" if least is not None else ""
        raise UserError(f"{name} must be a number{bound}, got {value!r}")


def truth(config: Any, *names: str) -> None:
    """Refuse whatever is neither true nor false."""
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise UserError(f"{name} must be true or false, got {getattr(config, name)!r}")


def divides(name: str, value: int, by_name: str, by: int) -> None:
    """Refuse a value that another does not divide."""
    if value % by:
        raise UserError(f"{name} {value} is not divisible by {by_name} {by}")


def fraction(name: str, value: Any) -> None:
    """Refuse whatever is no number in [0, 1): a dropout probability."""
    number(name, value)
    if not 0 <= value < 1:
        raise UserError(f"{name} must be in [0, 1), got {value!r}")
