"""``load_model``: whatever names a model becomes a module in evaluation mode, with every weight from its file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from asteroid.models import BaseModel
from asteroid.utils import hub_utils

from ..common.errors import UserError
from . import catalogue, published
from .assemble import build
from .open_file import Found, as_conf, open_file
from .sources import local_file

Source = str | os.PathLike | Mapping[str, Any]


def load_model(source: Source, config: Any = None, **model_args: Any) -> torch.nn.Module:
    """Load a model for inference.

    Args:
        source: name of a published model (``asteroid-bsrnn models`` lists them), a file of ours, of Asteroid or of
            another implementation (``.pth``, ``.safetensors``, ``.ckpt``, ``.th``, ``.onnx``, a bag's ``.yaml``), a folder with such a
            file, an http(s) address, a hub id ``org/name[@revision]``, or a serialized model.
        config: configuration that lay beside the weights of another implementation: a YAML file, or what stands in it.
        **model_args: constructor arguments that replace those in the file.

    Returns:
        In evaluation mode, on the CPU.

    Raises:
        UserError: if there is no such model, or it cannot be loaded whole; the sentence says why.
    """
    if isinstance(source, Mapping):
        return BaseModel.from_pretrained(source, **model_args).eval()
    return pretrained(BaseModel, source, (), model_args, config).eval()


def pretrained(
    cls: type,
    source: str | os.PathLike,
    args: Sequence[Any] = (),
    model_args: Mapping[str, Any] | None = None,
    config: Any = None,
) -> torch.nn.Module:
    """What ``cls.from_pretrained(source, *args, **model_args)`` gives: the model in training mode, as the host's does.

    Args:
        cls: taken for a model that is not registered, unless it is the host's base class.
        source, config: see :func:`load_model`.
        args: positional constructor arguments.
        model_args: constructor arguments that replace those in the file.

    Raises:
        UserError: see :func:`load_model`.
    """
    name = os.fspath(source)
    found = _find(source, config)
    if isinstance(found, torch.nn.Module) and not args and not model_args:
        return found.train()
    return build(as_conf(found), name, cls, args, model_args, hub_utils.SR_HASHTABLE.get(name))


def read_conf(source: str | os.PathLike, config: Any = None) -> dict[str, Any]:
    """Read a model as the dictionary that ``BaseModel.from_pretrained`` takes.

    Returns:
        ``model_name``, ``model_args``, ``state_dict``, and what else the file says (``infos`` or ``card``).
    """
    return as_conf(_find(source, config))


def _find(source: str | os.PathLike, config: Any) -> Found:
    name = os.fspath(source)
    if not os.path.exists(name) and catalogue.is_known(name):
        if config is not None:
            raise UserError(f"{name} is a published model, whose settings are known: leave the configuration out")
        return published.load_conf(name)
    return open_file(Path(local_file(source)), config)
