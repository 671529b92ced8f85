"""Torch's own files, read as data: whatever would call anything else is refused by its name."""

import os
import pickle
import re
import zipfile

import numpy as np
import torch

from ..common.errors import UserError

# What Lightning files of the reference implementation hold beside tensors; `convert` reads them as inert stand-ins.
_REFERENCE_GLOBALS = {"collections.defaultdict", "collections.OrderedDict", "typing.Any"}
_REFERENCE_GLOBALS |= {f"builtins.{kind}" for kind in ("dict", "list", "tuple", "set", "int", "float", "str", "bool")}
_NUMBER_TYPES = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]


def read_pickled(path):
    """Read a ``.pth``, ``.bin`` or ``.ckpt`` file without executing anything in it.

    Tensors, plain Python values, version strings and numpy numbers (in old Asteroid files) are admitted, and the
    configuration objects in checkpoints of the reference BSRNN, which are read as inert stand-ins.

    Returns:
        The file's content, usually a dict.

    Raises:
        UserError: a damaged file, or one that holds any other object, which is named.
    """
    torch.serialization.add_safe_globals(_NUMBER_TYPES)  # for good: a scope of torch's own would take the host's away
    try:
        with open(path, "rb") as content:  # given a path, torch would believe the suffix
            return torch.load(content, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        names = _foreign_globals(path, error)
        if names and all(_is_of_reference(name) for name in names):
            return _read_reference(path)
        if names:
            raise UserError(
                f"{path} is refused: it is a pickle that would call {', '.join(names)}; "
                "only tensors and plain values are loaded"
            ) from None
        raise UserError(f"{path} is refused: it is damaged or holds more than tensors and plain values") from None
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
        AssertionError,
        zipfile.BadZipFile,
    ):
        raise UserError(f"{path} is damaged or truncated; fetch or copy it again") from None


def _read_reference(path):
    from ..convert import load_reference_checkpoint

    state_dict, hyper_parameters = load_reference_checkpoint(path)
    return {"state_dict": state_dict, "hyper_parameters": hyper_parameters}


def _is_of_reference(name):
    return name in _REFERENCE_GLOBALS or name.startswith("omegaconf.")


def _foreign_globals(path, error):
    """Names of what the file refers to and we do not admit, sorted."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(path))
    except Exception:  # no zip file, or one that torch cannot even scan: its own message names the first
        names = []
    named = re.findall(r"GLOBAL ([\w.]+)|class `?([\w.]+)", str(error)) if not names else []
    return sorted(set(names) | {first or second for first, second in named})
