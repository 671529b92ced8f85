"""safetensors files with the model's arguments and its card in their metadata."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError
from ..common.files import atomic_path


def save_safetensors(conf: Mapping[str, Any], path: str | Path, card: Mapping[str, Any] | None = None) -> None:
    """Write a serialized model as safetensors, whole or not at all.

    Args:
        conf: what ``model.serialize()`` gives: ``model_name``, ``model_args``, ``state_dict``.
        path: the file.
        card: ``sources``, ``data``, ``licence``, ``commit``, ``scores`` and whatever else a reader of
            the file should know; values that JSON can hold. Kept as metadata, beside ``sha256`` of the weights.

    Raises:
        ValueError: if arguments or card hold what JSON cannot.
    """
    from safetensors.torch import save_file

    state_dict = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in conf["state_dict"].items()}
    metadata = {"format": "pt", "model_name": conf["model_name"], "model_args": _json(conf["model_args"], "model_args")}
    metadata.update(
        {key: value if isinstance(value, str) else _json(value, key) for key, value in (card or {}).items()}
    )
    metadata["sha256"] = weights_sha256(state_dict)
    with atomic_path(path) as partial:
        save_file(state_dict, partial, metadata=metadata)


def save_model(conf: Mapping[str, Any], path: str | Path, card: Mapping[str, Any] | None = None) -> None:
    """Write a serialized model, whole or not at all: :func:`save_safetensors` where the name ends so, else as PyTorch does."""
    if Path(path).suffix == ".safetensors":
        return save_safetensors(conf, path, card)
    with atomic_path(path) as partial:
        torch.save(conf, partial)


def read_safetensors(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file that :func:`save_safetensors` wrote, or anyone.

    Returns:
        ``model_name``, ``model_args``, ``state_dict`` and ``card``; of a foreign file its tensors by name, and the
        texts of its metadata among them.

    Raises:
        UserError: a damaged file, or weights that are not those that were written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata() or {}
            state_dict = {name: content.get_tensor(name) for name in content.keys()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged or truncated: {error}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if "model_name" not in metadata:
        return {**metadata, **state_dict}
    if metadata.get("sha256") not in (None, weights_sha256(state_dict)):
        raise UserError(f"{path} is refused: its weights are not those that were written (SHA-256 differs)")
    card = {key: _parsed(value) for key, value in metadata.items() if key not in ("format", "model_name", "model_args")}
    model_args = _parsed(metadata.get("model_args"))
    if not isinstance(model_args, dict):
        raise UserError(f"{path} is refused: its metadata 'model_args' is not a JSON object")
    return {"model_name": metadata["model_name"], "model_args": model_args, "state_dict": state_dict, "card": card}


def looks_like_safetensors(path: str | os.PathLike) -> bool:
    """Whether a file starts as safetensors files do: the length of a JSON header, then the header."""
    with open(path, "rb") as content:
        head = content.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def weights_sha256(state_dict: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def json_values(value: Any) -> Any:
    """``value`` in types that JSON and weights-only loading know; numpy numbers, tuples, paths, versions are converted.

    Raises:
        ValueError: for anything else, naming its type.
    """
    if isinstance(value, dict):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (str, Path)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ValueError(f"a {type(value).__name__} cannot be stored as plain data: {value!r}")


def _json(value: Any, key: str) -> str:
    try:
        return json.dumps(json_values(value), ensure_ascii=False)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
