"""Modules of users that register networks, corpora, losses, metrics or loggers, imported with the package.

They are named in three places: the entry-point group ``asteroid_bsrnn.plugins`` of an installed package, the environment
variable ``ASTEROID_BSRNN_PLUGINS`` (names with commas), and the list ``plugins`` of a configuration. A plug-in is an
ordinary module that is on Python's path; what it does is call ``register_family``, ``register_loss`` and the like.
"""

import importlib
import importlib.metadata
import os
from collections.abc import Iterable

from .errors import UserError

VARIABLE = "ASTEROID_BSRNN_PLUGINS"
GROUP = "asteroid_bsrnn.plugins"


def load_plugins(names: Iterable[str], origin: str) -> None:
    """Import modules by name. Twice is harmless.

    Args:
        names: of modules, as Python imports them.
        origin: who named them, for the error.

    Raises:
        UserError: for a module that cannot be found; an error inside a plug-in keeps its traceback.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise UserError(f"{origin} names the plug-in {name!r}, which is no module on Python's path") from None


def load_installed() -> None:
    """Import the plug-ins of installed packages and of the environment."""
    load_plugins(_of_packages(), f"the entry-point group {GROUP}")
    load_plugins(_of_environment(), VARIABLE)


def installed_names() -> list[str]:
    """Modules that :func:`load_installed` imports."""
    return [*_of_packages(), *_of_environment()]


def _of_packages() -> list[str]:
    return [entry.module for entry in importlib.metadata.entry_points(group=GROUP)]


def _of_environment() -> list[str]:
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
