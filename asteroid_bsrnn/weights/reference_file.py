"""Weights and settings in checkpoints of the reference BSRNN, as :func:`from_reference` takes them."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from .any_file import read_file


def load_reference_checkpoint(path: str | PathLike) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
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
    if not isinstance(weights, dict) or not weights or not all(map(_is_weight, weights.items())):
        raise UserError(f"{path} holds no state_dict of tensors")
    return dict(weights), content.get("hyper_parameters") if "state_dict" in content else None


def _is_weight(entry: tuple[Any, Any]) -> bool:
    return isinstance(entry[0], str) and torch.is_tensor(entry[1])
