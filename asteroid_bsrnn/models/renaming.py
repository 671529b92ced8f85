"""What adapters are made of: maps of names, and looks at weights. Errors speak of the names in the user's file."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from ..common.errors import UserError
from .family import Adapter, State


def renamed(key: str, rules: Iterable[tuple[str, str | Callable[[re.Match[str]], str]]]) -> str:
    """A name after all replacements of (pattern, what stands there instead), one after the other."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def weight(state: State, name: str, origin: str) -> torch.Tensor:
    """A weight that must be there.

    Raises:
        UserError: naming it.
    """
    if name not in state:
        raise UserError(f"{origin}: the weights lack {name!r}")
    return state[name]


def count(state: State, pattern: str) -> int:
    """How many different numbers stand at the group of a pattern that begins a name."""
    return len({found[1] for found in map(re.compile(pattern).match, state) if found})


def single(value: torch.Tensor) -> torch.Tensor:
    """In single precision; whole numbers as they are."""
    value = torch.as_tensor(value)
    return value.float() if value.is_floating_point() else value


class RenamingAdapter(Adapter):
    """An adapter whose weights differ from ours in their names only. A subclass writes :meth:`names`."""

    def names(self, state: State) -> dict[str, str]:
        """Our name for each weight; a weight that is dropped on purpose has none."""
        return {key: key for key in state}

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names, floating-point numbers in single precision."""
        return {ours: single(state[theirs]) for theirs, ours in self.names(state).items()}

    def called(self, state: State) -> dict[str, str]:
        return {ours: theirs for theirs, ours in self.names(state).items()}
