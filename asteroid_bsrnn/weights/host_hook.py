"""``BaseModel.from_pretrained`` of the host, taught our sources and file formats."""

import functools
import os
from typing import Any

import torch
from asteroid.models import BaseModel

from .load import pretrained


def install() -> bool:
    """Extend ``asteroid.models.BaseModel.from_pretrained``; applied at import, and harmless when repeated.

    What it adds for a string or path: safetensors files, folders, names of published models, checkpoints of other
    implementations, addresses that resume, hub files checked against their hash, files with harmless values of old
    versions, and one clear sentence for what cannot be loaded (a mistyped path does not wait for the network).
    Dictionaries, ``args`` and ``kwargs`` (which replace arguments in the file), the host's table of names and its cache
    work as before.

    Returns:
        Whether anything was changed.
    """
    original = BaseModel.from_pretrained.__func__
    if getattr(original, "reads_more_sources", False):
        return False

    @functools.wraps(original)
    def from_pretrained(cls: type, pretrained_model_conf_or_path: Any, *args: Any, **kwargs: Any) -> torch.nn.Module:
        source = pretrained_model_conf_or_path
        named = isinstance(source, (str, os.PathLike))
        return pretrained(cls, source, args, kwargs) if named else original(cls, source, *args, **kwargs)

    vars(from_pretrained)["reads_more_sources"] = True
    BaseModel.from_pretrained = classmethod(from_pretrained)
    return True
