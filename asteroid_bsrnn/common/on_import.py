"""Patches of modules that are not imported yet, so that nobody waits for what he does not use."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class PatchOnImport(importlib.abc.MetaPathFinder):
    """Runs ``patch(module)`` right after the module ``name`` is imported for the first time."""

    def __init__(self, name: str, patch: Callable[[ModuleType], None]) -> None:
        self.name, self.patch = name, patch

    def does(self, name: str, patch: Callable[[ModuleType], None]) -> bool:
        """Whether this is what was asked for."""
        return (self.name, self.patch) == (name, patch)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # so that the search below finds the real one, and we are asked only once
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.patch(module)

        loader.exec_module = exec_module
        return spec


def when_imported(name: str, patch: Callable[[ModuleType], None]) -> bool:
    """Patch the module ``name`` now if it is there, else when it is imported."""
    if name in sys.modules:
        patch(sys.modules[name])
    elif not any(isinstance(finder, PatchOnImport) and finder.does(name, patch) for finder in sys.meta_path):
        sys.meta_path.insert(0, PatchOnImport(name, patch))
    return True
