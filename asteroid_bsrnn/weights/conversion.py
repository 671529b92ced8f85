"""Checkpoint files in, one model file out."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..models.family import adapters
from ..models.stems import StemSeparator
from .assemble import build
from .open_file import as_conf, as_module, open_file
from .safetensors import save_model

_CHECKPOINTS = (".ckpt", ".th", ".yaml", ".yml")  # what one never means to write


def convert_files(
    paths: Sequence[str | os.PathLike],
    out_path: str | os.PathLike,
    sources: Sequence[str] | None = None,
    configs: Sequence[Any] = (),
) -> tuple[torch.nn.Module, list[str]]:
    """Convert checkpoints; several become one ``StemSeparator``.

    Args:
        paths: checkpoint files of other implementations (or models of ours).
        out_path: model file that ``from_pretrained`` reads, safetensors where its name ends so; written whole or not at
            all.
        sources: names in the order of the files (or of the sources of one file).
        configs: configuration files that lay beside the checkpoints: one for all of them, or one for each.

    Returns:
        The model, and a list of remarks about what had to be assumed.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    _check_out(paths, Path(out_path))
    if sources and len(paths) > 1 and len(sources) != len(paths):
        raise UserError(f"{len(paths)} files need as many source names, got {len(sources)}: {', '.join(sources)}")
    configs = one_each(configs, paths)
    models: list[torch.nn.Module] = []
    remarks: list[str] = []
    for index, (path, config) in enumerate(zip(paths, configs)):
        names = None if not sources else list(sources) if len(paths) == 1 else [sources[index]]
        models.append(_convert_file(path, names, config, remarks))
    model: Any = models[0] if len(models) == 1 else _joined(models, paths)
    names = getattr(model, "sources", None)
    save_model(model.serialize(), Path(out_path), {"sources": list(names)} if names else None)
    return model, remarks


def one_each(configs: Sequence[Any], models: Sequence[Any]) -> list[Any]:
    """A configuration for each model: none, the only one for all, or one for each.

    Raises:
        UserError: for another number of them.
    """
    if len(configs) not in (0, 1, len(models)):
        raise UserError(f"{len(models)} checkpoints need one configuration for all or one for each, got {len(configs)}")
    return list(configs) if len(configs) == len(models) else list(configs or [None]) * len(models)


def _check_out(paths: Sequence[Any], out: Path) -> None:
    suffixes = {*_CHECKPOINTS, *(suffix for adapter in adapters() for suffix in adapter.suffixes)}
    if out.suffix.lower() in suffixes or out.resolve() in [Path(path).resolve() for path in paths]:
        raise UserError(f"{out} is a checkpoint to read; the last name is that of the file to write, such as model.pth")


def _convert_file(path: Any, sources: list[str] | None, config: Any, remarks: list[str]) -> torch.nn.Module:
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}" + (": it is a folder" if Path(path).is_dir() else ""))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = open_file(Path(path), config, settings={"sources": sources} if sources else None)
        model: Any = as_module(found, path)
        if sources and list(model.sources or ()) != sources:  # a format that does not take names
            model = build(as_conf(model), str(path), model_args={"sources": sources}).eval()
    remarks += [f"{path}: {warning.message}" for warning in caught if warning.category is UserWarning]
    return model


def _joined(models: list[torch.nn.Module], paths: Sequence[Any]) -> StemSeparator:
    first: dict[str, Any] = {}
    for model, path in zip(models, paths):
        names = getattr(model, "sources", None)
        if not names:
            raise UserError(f"{path} separates sources that have no names: only models of named sources can be joined")
        twice = next((name for name in names if name in first), None)
        if twice is not None:
            raise UserError(f"{first[twice]} and {path} are both for {twice!r}: tell them apart with --sources")
        first.update({name: path for name in names})
    return StemSeparator(models)
