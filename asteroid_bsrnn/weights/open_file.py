"""A file that holds a model, of ours, of Asteroid or of another implementation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..models.family import adapters
from .any_file import read_file
from .assemble import build, is_model
from .bag_file import bag_of, open_bag
from .foreign import open_foreign, settings_of

Found = dict[str, Any] | torch.nn.Module
"""A serialized model, or the model of a foreign file."""


def open_file(
    path: Path, config: Any = None, system: str | None = None, settings: Mapping[str, Any] | None = None
) -> Found:
    """What a file holds: a dictionary as ``serialize`` gives it, or a model where it is of another implementation.

    Args:
        path: the file.
        config: configuration file that lay beside foreign weights, or what stands in it.
        system: only foreign formats of this system.
        settings: more settings of foreign weights, in the original's words.

    Raises:
        UserError: if it holds no model that is known here, whole.
    """
    bag = bag_of(Path(path))
    if bag is not None:
        if config is not None:
            raise UserError(f"{path} is a bag, whose members have their settings: leave the configuration out")
        return open_bag(Path(path), bag, lambda member: as_module(open_file(member, None, system, settings), member))
    suffix, content = Path(path).suffix.lower(), None
    if not any(suffix in adapter.suffixes for adapter in adapters()):
        content = read_file(path)
        if is_model(content):
            if config is not None:
                raise UserError(
                    f"{path} is a model with its own settings: a configuration is for other implementations' weights"
                )
            return content
    return open_foreign(path, system, content).model(settings_of(config), settings)


def as_conf(found: Found) -> dict[str, Any]:
    """In the form of ``serialize``."""
    if isinstance(found, torch.nn.Module):
        module: Any = found
        return module.serialize()
    return found


def as_module(found: Found, origin: Any) -> torch.nn.Module:
    """In evaluation mode."""
    return (found if isinstance(found, torch.nn.Module) else build(found, str(origin))).eval()
