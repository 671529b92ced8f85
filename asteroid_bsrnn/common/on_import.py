"""Patches of modules that are not imported yet, so that nobody waits for what he does not use."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType


@dataclass
class PatchOnImport(importlib.abc.MetaPathFinder):
    """Runs ``patch(module)`` right after the module ``name`` is imported for the first time."""

    name: str
    patch: Callable[[ModuleType], None]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # so that the search below finds the real one, and we are asked only once
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _patch_once(module, self.patch)

        vars(spec.loader)["exec_module"] = exec_module
        return spec


def when_imported(name: str, patch: Callable[[ModuleType], None]) -> bool:
    """Patch the module ``name`` now if it is there, else when it is imported; once, however often this is called."""
    if name in sys.modules:
        _patch_once(sys.modules[name], patch)
    elif PatchOnImport(name, patch) not in sys.meta_path:
        sys.meta_path.insert(0, PatchOnImport(name, patch))
    return True


def _patch_once(module: ModuleType, patch: Callable[[ModuleType], None]) -> None:
    made = vars(module).setdefault("__patches__", [])
    if patch not in made:
        patch(module)
        made.append(patch)
