"""Reading Lightning checkpoints without running anything that is pickled in them.

The unpickler knows a short list of harmless names; the few configuration types that such files hold become inert
objects that only carry what was stored, and every other name is refused.
"""
import collections
import pickle
import zipfile
from pathlib import Path

import torch

from ..common.errors import UserError


class Inert:
    """Stands for a configuration object: holds its state, does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        """Whatever the original was built with is dropped."""

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.__dict__.update(state)


_PLAIN = (dict, list, set, tuple, int, float, str, bool)
_ALLOWED = {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _PLAIN}
_ALLOWED.update(
    {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
        ("torch", "Size"): torch.Size,
        ("typing", "Any"): Inert,
    }
)
_NODES = ("AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode", "PathNode")
_INERT = {("omegaconf.nodes", name) for name in _NODES}
_INERT |= {("omegaconf.base", name) for name in ("ContainerMetadata", "Metadata")}
_INERT |= {("omegaconf.dictconfig", "DictConfig"), ("omegaconf.listconfig", "ListConfig")}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) in _INERT:
            return Inert
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}, which is not allowed")


class _RestrictedPickle:
    """What ``torch.load`` uses of a pickle module."""

    __name__ = "restricted_pickle"
    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file, **kwargs):
        """Read one object with the restricted unpickler."""
        return _Unpickler(file, **kwargs).load()


def load_reference_checkpoint(path):
    """Weights and configuration in a checkpoint of the authors' trainer; nothing in it is executed.

    Args:
        path (str or Path): Lightning ``.ckpt`` file, or a file that holds only a state_dict.

    Returns:
        tuple: state_dict (key -> tensor on the CPU), and the configuration in plain values, or None if there is none.

    Raises:
        UserError: if the file is truncated, is no checkpoint, or asks for anything but plain data.
    """
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}" + (": it is a folder" if Path(path).is_dir() else ""))
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            start = file.read(4)
        broken = "it is truncated" if start == b"PK\x03\x04" else "it is no file that torch.save wrote"
        raise UserError(f"{path} cannot be read as a checkpoint: {broken}")
    if any(name.endswith("/constants.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise UserError(f"{path} is refused as a checkpoint: it is a TorchScript archive, which holds code")
    try:
        with open(path, "rb") as file:  # given a path, torch would believe the suffix
            content = torch.load(file, map_location="cpu", pickle_module=_RestrictedPickle, weights_only=False)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is refused as a checkpoint: {error}") from None
    except (RuntimeError, EOFError, KeyError, IndexError, TypeError, AttributeError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as a checkpoint, it is damaged: {' '.join(str(error).split())[:200]}") from None
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not weights or not all(isinstance(key, str) and torch.is_tensor(value) for key, value in weights.items()):
        raise UserError(f"{path} holds no state_dict of tensors")
    configuration = content.get("hyper_parameters") if "state_dict" in content else None
    return dict(weights), None if configuration is None else plain_values(configuration)


def plain_values(value):
    """A stored configuration in dictionaries, lists and scalars; what is none of them is left out."""
    if isinstance(value, Inert):
        stored = value.__dict__
        return plain_values(stored.get("_content", stored.get("_val")))
    if isinstance(value, dict):
        return {str(key): plain_values(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else None

