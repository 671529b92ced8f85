"""Checkpoint files in, one model file out."""
import warnings
from pathlib import Path

import torch

from ..common.errors import UserError
from ..common.files import atomic_path
from ..models import StemSeparator
from .safetensors import save_safetensors
from ..convert.checkpoint import load_reference_checkpoint
from ..models.bsrnn.adapter import from_reference


def convert_files(paths, out_path, sources=None):
    """Convert checkpoints; several single-source ones become one ``StemSeparator``.

    Args:
        paths (sequence of path): checkpoint files of the reference.
        out_path (path): model file that ``from_pretrained`` reads, safetensors where its name ends so; written whole
            or not at all.
        sources (sequence of str, optional): names in the order of the files (or of the sources of one file).

    Returns:
        tuple: the model, and a list of remarks about what had to be assumed.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if Path(out_path).suffix == ".ckpt" or Path(out_path).resolve() in [Path(path).resolve() for path in paths]:
        raise UserError(f"{out_path} is a checkpoint to read; the last name is that of the file to write, such as model.pth")
    if sources and len(paths) > 1 and len(sources) != len(paths):
        raise UserError(f"{len(paths)} files need as many source names, got {len(sources)}: {', '.join(sources)}")
    models, remarks = [], []
    for index, path in enumerate(paths):
        names = None if not sources else (sources if len(paths) == 1 else [sources[index]])
        models.append(_convert_file(path, names, remarks))
        if len(paths) > 1 and models[-1].n_src > 1:
            raise UserError(f"{path} separates {', '.join(models[-1].sources)}: only single-source files can be joined")
    names = [model.sources[0] for model in models]
    twice = next((index for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        first = paths[names.index(names[twice])]
        raise UserError(f"{first} and {paths[twice]} are both for {names[twice]!r}: tell them apart with --sources")
    model = models[0] if len(models) == 1 else StemSeparator(models)
    if Path(out_path).suffix == ".safetensors":
        save_safetensors(model.serialize(), out_path, {"sources": list(model.sources)})
        return model, remarks
    with atomic_path(out_path) as partial:
        torch.save(model.serialize(), partial)
    return model, remarks


def _convert_file(path, sources, remarks):
    weights, configuration = load_reference_checkpoint(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = from_reference(weights, configuration, sources)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
    remarks += [f"{path}: {warning.message}" for warning in caught if warning.category is UserWarning]
    return model
