"""Files that torch.save wrote, of any age and origin, read as data: nothing in them is executed or imported."""

import io
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import torch

from ..common.errors import UserError
from .inert import Inert, plain_values, walk
from .known import Storage
from .machine import read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C  # starts the files that torch wrote until 1.5
_MODEL = ("model_name", "model_args", "state_dict")
_KINDS = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Bool": "bool",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Untyped": "uint8",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
    "QInt8": "int8", "QUInt8": "uint8", "QInt32": "int32", "QUInt4x2": "uint8", "QUInt2x4": "uint8",
}  # fmt: skip
_DAMAGES = (OSError, RuntimeError, ArithmeticError, EOFError, ValueError, LookupError, AttributeError, TypeError,
            AssertionError, MemoryError, struct.error, zipfile.BadZipFile)  # fmt: skip


def read_pickled(path: str | os.PathLike) -> Any:
    """Read a ``.pth``, ``.bin`` or ``.ckpt`` file without executing anything in it.

    Whatever lies outside the model is stepped over: it stays an inert record (:class:`Inert`). ``hyper_parameters``
    are given in plain values.

    Returns:
        The file's content, usually a dict; tensors on the CPU.

    Raises:
        UserError: a damaged file, or one whose model (``model_name``, ``model_args``, ``state_dict``, or the whole file
            where it is one of weights alone) holds anything but tensors and plain values; the culprit is named.
    """
    try:
        with open(path, "rb") as file:
            content = _read_zip(file) if file.read(4) == b"PK\x03\x04" else _read_old(file)
        _check_model(content)
        if isinstance(content, dict) and content.get("hyper_parameters") is not None:
            content["hyper_parameters"] = plain_values(content["hyper_parameters"])
        return content
    except UserError as error:
        raise UserError(f"{path} is refused: {error}") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is damaged or truncated: {error}; fetch or copy it again") from None
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except _DAMAGES:
        raise UserError(f"{path} is damaged or truncated; fetch or copy it again") from None


def _check_model(content: Any) -> None:
    """Refuse records where only tensors and plain values belong."""
    if not isinstance(content, dict):
        _refuse(content, "its content")
    elif "state_dict" in content:
        for key in _MODEL:
            _refuse_entries(content.get(key), key)
    elif _has_tensors(content) and not any(_has_tensors(value) for value in content.values()):
        _refuse_entries(content, "weights")  # else the weights lie deeper, and are checked where they are taken out


def _has_tensors(content: Any) -> bool:
    return isinstance(content, dict) and any(isinstance(value, torch.Tensor) for value in content.values())


def _refuse_entries(value: Any, place: str) -> None:
    entries = value.items() if isinstance(value, dict) else ()
    _refuse(value if not isinstance(value, dict) else list(value), place)
    for key, entry in entries:
        _refuse(entry, f"{place}[{str(key)[:100]!r}]")


def _refuse(value: Any, place: str) -> None:
    for entry in walk(value):
        if isinstance(entry, (Inert, Storage)):
            name = getattr(entry, "name", "torch.storage").encode("unicode_escape").decode()[:100]
            raise UserError(
                f"it is a pickle that would call {name} for {place}; "
                "nothing in a file is called, and a model is tensors and plain values"
            )


# the zip files of today


def _read_zip(file: BinaryIO) -> Any:
    """Read ``<name>/data.pkl``, whose storages are ``<name>/data/<key>``, all stored as they are."""
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        parts = {info.filename: info for info in archive.infolist()}
    if any(name.endswith("/constants.pkl") for name in parts):
        raise UserError("it is a TorchScript archive, which holds code")
    if any(info.compress_type for info in parts.values()) or sum(info.file_size for info in parts.values()) > size:
        raise UserError("its parts are compressed or overlap, which torch.save never does")
    main = min((name for name in parts if name.endswith("/data.pkl")), key=len)
    prefix = main[: -len("data.pkl")]
    swapped = prefix + "byteorder" in parts and _part(file, parts[prefix + "byteorder"]) == b"big"
    storages = {}

    def storage(kind: torch.dtype, key: str, count: int) -> torch.UntypedStorage:
        if key not in storages:
            info = parts[f"{prefix}data/{key}"]
            if info.file_size < count * kind.itemsize:
                raise pickle.UnpicklingError(f"{info.filename!r} is too short")
            storages[key] = torch.UntypedStorage(count * kind.itemsize)
            _seek_part(file, info)
            _fill(file, storages[key])
            if swapped:
                storages[key].byteswap(kind)
        return storages[key]

    return read_pickle(io.BytesIO(_part(file, parts[main])), _persistent(storage))


def _part(file: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    _seek_part(file, info)
    return file.read(info.file_size)


def _seek_part(file: BinaryIO, info: zipfile.ZipInfo) -> None:
    """Go to the first byte of a part; ``zipfile`` itself insists on checksums, which torch can be told to leave out."""
    file.seek(info.header_offset)
    header = file.read(30)
    name_length, more_length = struct.unpack("<HH", header[26:30])
    file.seek(name_length + more_length, io.SEEK_CUR)


# the files until torch 1.5


def _read_old(file: BinaryIO) -> Any:
    """Read five pickles (a number, a version, the machine, the content, keys of storages), then the storages."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if read_pickle(file) != _MAGIC:
        raise UserError("it is a pickle, but none that torch.save wrote")
    read_pickle(file), read_pickle(file)
    storages, kinds, left = {}, {}, size

    def storage(kind: torch.dtype, key: str, count: int) -> torch.UntypedStorage:
        nonlocal left
        if key not in storages:
            left -= count * kind.itemsize
            if left < 0:
                raise pickle.UnpicklingError("its storages are cut off")
            storages[key], kinds[key] = torch.UntypedStorage(count * kind.itemsize), kind
        return storages[key]

    content = read_pickle(file, _persistent(storage))
    for key in read_pickle(file):
        (count,) = struct.unpack("<q", file.read(8))
        if count * kinds[key].itemsize != storages[key].nbytes():
            raise pickle.UnpicklingError("a storage has another size than its tensors")
        _fill(file, storages.pop(key))
    if storages:
        raise EOFError("storages are missing")
    return content


def _persistent(storage: Callable[[torch.dtype, str, int], torch.UntypedStorage]) -> Callable[[Any], Any]:
    """Storages by the keys that torch writes into pickles: ("storage", type, key, device, count[, view])."""

    def read(key: Any) -> Any:
        kind = key[1] if isinstance(key, tuple) and len(key) >= 5 and key[0] == "storage" else None
        found = re.fullmatch(r"torch(?:\.\w+)*\._?(\w+)Storage", kind.name) if isinstance(kind, Inert) else None
        if found is None or found[1] not in _KINDS:
            return Inert(kind.name if isinstance(kind, Inert) else "persistent object", ())
        dtype, (count, view) = getattr(torch, _KINDS[found[1]]), (key[4], (key[5:] or (None,))[0])
        if type(count) is not int or count < 0:
            raise pickle.UnpicklingError("a storage has no size")
        held = storage(dtype, str(key[2]), count)
        return Storage(held, dtype, view[1] if view else 0)

    return read


def _fill(file: Any, untyped: torch.UntypedStorage) -> None:
    """Read the bytes of one storage from where ``file`` stands."""
    if untyped.nbytes():
        memory = torch.empty(0, dtype=torch.uint8).set_(untyped).numpy()
        if file.readinto(memory) != memory.nbytes:
            raise pickle.UnpicklingError("it ends within its weights")
