"""The content of a weights file of any kind, as it is: safetensors, or what torch.save wrote."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from .pickles import read_pickled
from .safetensors import looks_like_safetensors, read_safetensors


def read_file(path: str | os.PathLike) -> Any:
    """Content of a weights file, usually a dict; nothing in it is executed.

    Raises:
        UserError: if it is no weights file, damaged, or would execute something.
    """
    try:
        with open(path, "rb") as content:
            head = content.read(16)
        if not head:
            raise UserError(f"{path} is empty, not a model")
        if looks_like_safetensors(path):
            return read_safetensors(path)
        if head[:2] == b"PK" and not zipfile.is_zipfile(path):
            raise UserError(f"{path} is damaged or truncated; fetch or copy it again")
        if head[:2] != b"PK" and head[:1] != b"\x80":
            raise UserError(f"{path} is no weights file: it starts with {head[:12]!r}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return read_pickled(path)


def load_reference_checkpoint(path: str | os.PathLike) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """Weights and configuration in a checkpoint of the authors' trainer; nothing in it is executed.

    Args:
        path: Lightning ``.ckpt`` file of any version, or a file that holds only a state_dict.

    Returns:
        state_dict (key -> tensor on the CPU), and the configuration in plain values, or None if there is none.

    Raises:
        UserError: if the file is truncated, is no checkpoint, or its weights are anything but tensors.
    """
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}" + (": it is a folder" if Path(path).is_dir() else ""))
    content = read_file(path)
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    named = isinstance(weights, dict) and all(isinstance(name, str) for name in weights)
    if not named or not weights or not all(map(torch.is_tensor, weights.values())):
        raise UserError(f"{path} holds no state_dict of tensors")
    return dict(weights), content.get("hyper_parameters") if "state_dict" in content else None
