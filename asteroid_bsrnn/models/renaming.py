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

    def build(self, state: State, settings: Mapping[str, Any]) -> torch.nn.Module:
        """The model with these weights, in evaluation mode.

        Raises:
            UserError: naming the first weight of the file that the model does not have or that has another shape there,
                or the first of the model that the file lacks.
        """
        model = self.model(**self.config(state, settings))
        own, names = model.state_dict(), self.names(state)
        for theirs, ours in names.items():
            if ours not in own:
                raise UserError(f"{self.name}: {self.model.__name__} has no place for the weight {theirs!r}")
            if own[ours].shape != state[theirs].shape:
                raise UserError(
                    f"{self.name}: the weight {theirs!r} has the shape {tuple(state[theirs].shape)}, "
                    f"and the settings ask for {tuple(own[ours].shape)}"
                )
        missing = [name for name in own if name not in set(names.values())]
        if missing:
            raise UserError(f"{self.name}: no weight in the file becomes {missing[0]!r} of {self.model.__name__}")
        model.load_state_dict(self.convert(state, settings))
        return model.eval()
