"""Bags of the Demucs project: a small YAML file that names its members, whose files lie beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..models.system import SeparationSystem
from .settings_file import read_settings

SUFFIXES = (".yaml", ".yml")
_MEMBERS = ("{}.safetensors", "{}.th", "{}-????????.th")  # of the hub; of a folder, without and with a checksum


def bag_of(path: Path) -> dict[str, Any] | None:
    """What a file says of a bag: ``models``, and perhaps ``weights`` and ``segment``; None where it is no bag."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    document = read_settings(path)
    names = document.get("models")
    whole = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
    return document if whole else None


def open_bag(path: Path, bag: Mapping[str, Any], open_member: Callable[[Path], torch.nn.Module]) -> torch.nn.Module:
    """The members as one model; weights have a row for each member and a column for each source of theirs.

    Raises:
        UserError: naming a member whose file is not there, or weights that do not fit.
    """
    members: list[Any] = [open_member(_file_of(path, name)) for name in bag["models"]]
    try:
        return SeparationSystem(members, members[0].sources, weights=bag.get("weights")).eval()
    except (UserError, TypeError) as error:
        raise UserError(f"{path}: {error}") from None


def _file_of(path: Path, name: str) -> Path:
    """The member's file, which lies in the same folder."""
    if Path(name).name != name or set(name) & set("*?[]"):
        raise UserError(f"{path}: a member of a bag is a file beside it, not {name!r}")
    found = [file for pattern in _MEMBERS for file in sorted(path.parent.glob(pattern.format(name)))]
    if not found:
        raise UserError(f"{path}: its member {name!r} is not beside it (as {name}.safetensors or {name}.th)")
    return found[0]
