"""Records that stand for whatever a pickle names: they hold what was stored and do nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..common.errors import UserError

MOST_VALUES = 1_000_000  # a kilobyte of pickle can hold 2 ** 100; models have thousands
_LEFT_OUT = object()


class Inert:
    """Stands for a class, a function or what a call of it would have given.

    Args:
        name: full name of the class or function.
        args: what it would have been called with.

    Attributes ``state``, ``items`` and ``pairs`` hold what the pickle would have set, appended and assigned afterwards.
    """

    __slots__ = ("name", "args", "state", "items", "pairs")

    def __init__(self, name: str, args: tuple = ()) -> None:
        self.name, self.args, self.state = name, args, None
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"<inert {self.name}>"


def as_key(value: Any) -> Any:
    """``value`` as a key of a dictionary; a tuple of tuples, whose hash may take for ever, becomes a record."""
    if isinstance(value, tuple) and any(isinstance(entry, (tuple, frozenset)) for entry in value):
        return Inert("builtins.tuple", value)
    return value


def walk(value: Any) -> Iterator[Any]:
    """Yield ``value`` and all that it holds, at any depth.

    Raises:
        UserError: if that is more than :data:`MOST_VALUES`, as in a list that holds itself.
    """
    stack, count = [value], 0
    while stack:
        value = stack.pop()
        yield value
        count += 1
        if isinstance(value, dict):
            stack += [*value.values(), *value.keys()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            stack += value
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            stack += value.ravel().tolist()
        if count + len(stack) > MOST_VALUES:
            raise UserError(f"it holds more than {MOST_VALUES} values, or values that hold themselves")


def plain_values(value: Any) -> Any:
    """A stored configuration in dictionaries, lists and scalars; what is none of them is left out.

    Containers and nodes of OmegaConf, namespaces, paths, NumPy's numbers and arrays, and subclasses of dict and list
    are read; references (``${...}``) and missing values (``???``) of OmegaConf are left out.

    Raises:
        UserError: if it holds too many values, or itself.
    """
    try:
        found = _plain(value, [MOST_VALUES])
    except RecursionError:
        raise UserError("its settings hold themselves, or are nested without end") from None
    return None if found is _LEFT_OUT else found


def _plain(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise UserError(f"its settings are more than {MOST_VALUES} values")
    if isinstance(value, Inert):
        return _content(value, budget)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        entries = ((_plain(key, budget), _plain(entry, budget)) for key, entry in value.items())
        return {str(key): entry for key, entry in entries if key is not _LEFT_OUT and entry is not _LEFT_OUT}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [None if (entry := _plain(inner, budget)) is _LEFT_OUT else entry for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else _LEFT_OUT


def _content(record: Inert, budget: list[int]) -> Any:
    """What a record of a known kind holds."""
    state: dict[Any, Any] = record.state if isinstance(record.state, dict) else {}
    if record.name.startswith("omegaconf."):
        return _of_omegaconf(state, budget)
    if record.name.startswith("pathlib.") and all(isinstance(part, str) for part in record.args):
        return "/".join(record.args).replace("//", "/")
    if record.name in ("argparse.Namespace", "types.SimpleNamespace"):
        return _plain(state, budget)
    if record.pairs:
        return _plain({key: entry for key, entry in record.pairs}, budget)
    return _plain(record.items, budget) if record.items else _LEFT_OUT


def _of_omegaconf(state: Mapping[str, Any], budget: list[int]) -> Any:
    held = state.get("_content", state.get("_val", _LEFT_OUT))
    if isinstance(held, str) and (held == "???" or "${" in held):
        return _LEFT_OUT
    return _plain(held, budget)
