"""Configuration files that lie beside other implementations' weights: YAML (so JSON too), read as data."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..common.errors import UserError
from .inert import plain_values

LARGEST = 4_000_000  # bytes; such files have thousands


class _Loader(yaml.SafeLoader):
    """YAML's safe types, tuples as Python writes them (as lists), and numbers such as 1e-5."""


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_settings(path: str | os.PathLike) -> dict[str, Any]:
    """The settings in a file, in plain values; nothing in it is executed, and no tag but Python's tuple is admitted.

    Raises:
        UserError: naming the file, if it cannot be read, or holds anything but names and plain values.
    """
    try:
        content = Path(path).read_bytes()
        document = yaml.load(content, _Loader) if len(content) <= LARGEST else None
        if isinstance(document, Mapping):
            return plain_values(document)
    except OSError as error:
        raise UserError(f"cannot read the settings {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(f"{path} holds no settings: {said}") from None
    raise UserError(f"{path} holds no settings: expected are names and values in YAML")
