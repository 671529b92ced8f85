"""``load_model``: whatever names a model becomes a module in evaluation mode, with every weight from its file."""

import os
import zipfile

from ..common.errors import UserError
from .pickles import read_pickled
from .sources import local_file
from .safetensors import looks_like_safetensors, read_safetensors

_KEYS = ("model_name", "model_args", "state_dict")


def load_model(source, **model_args):
    """Load a model for inference.

    Args:
        source (str, Path or dict): name of a published model (``asteroid-bsrnn models`` lists them), a file of ours, of
            Asteroid or of the reference BSRNN (``.pth``, ``.safetensors``, ``.ckpt``), a folder with such a file, an
            http(s) address, a hub id ``org/name[@revision]``, or a serialized model.
        **model_args: constructor arguments that replace those in the file.

    Returns:
        torch.nn.Module: in evaluation mode, on the CPU.

    Raises:
        UserError: if there is no such model, or it cannot be loaded whole; the sentence says why.
    """
    from asteroid.models import BaseModel

    from .host_hook import install

    install()
    return BaseModel.from_pretrained(source, **model_args).eval()


def read_conf(source):
    """Read a model as the dictionary that ``BaseModel.from_pretrained`` takes.

    Returns:
        dict: ``model_name``, ``model_args``, ``state_dict``, and what else the file says (``infos`` or ``card``).
    """
    from . import published as zoo

    if not os.path.exists(source) and os.fspath(source) in zoo.names():
        return zoo.load_conf(os.fspath(source))
    path = local_file(source)
    return _as_conf(read_file(path), path)


def read_file(path):
    """Content of a weights file of any kind, as it is.

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


def _as_conf(content, path):
    """Bring what a file holds into the form of ``serialize()``; a checkpoint of the reference is converted."""
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a model")
    if all(key in content for key in _KEYS):
        return content
    state_dict = content.get("state_dict", content)
    if isinstance(state_dict, dict) and any(_is_reference_key(key) for key in state_dict):
        from ..convert import from_reference

        try:
            return from_reference(state_dict, content.get("hyper_parameters")).serialize()
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
    found = ", ".join(repr(key) for key in list(content)[:4])
    raise UserError(
        f"{path} holds no model of Asteroid ({', '.join(_KEYS)}) or of the reference BSRNN; "
        f"its first keys are {found or 'none'}"
    )


def _is_reference_key(key):
    return isinstance(key, str) and any(key.startswith(prefix + "BN.0.") for prefix in ("", "model."))
