"""The few calls in pickles that are understood (containers, tensors, NumPy's numbers), done by code of this module.

Names are only compared, never looked up or imported; arguments that do not fit leave a record.
"""

import collections
import math
import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .inert import Inert, as_key, walk

_MOST_REPEATED = 2**24  # elements of a tensor that repeats what is stored (stride 0): a bomb where unlimited
_RENAMED = (("__builtin__.", "builtins."), ("copy_reg.", "copyreg."), ("numpy.core.", "numpy._core."))
_NUMBER = re.compile(r"\?|[biufcSU]\d+")
_TENSORS = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")


@dataclass(frozen=True)
class Storage:
    """Memory of tensors: the bytes, their type, and the first element that belongs to it."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype
    start: int = 0


def named(module: str, name: str) -> Any:
    """What a name in a pickle stands for: a type of numbers of torch, or a record."""
    if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
        return vars(torch)[name]
    full = f"{module}.{name}"
    for old, new in _RENAMED:
        full = new + full[len(old) :] if full.startswith(old) else full
    return Inert(full)


def call(function: Any, arguments: Any) -> Any:
    """What a call in a pickle gives: a value where it is understood, else a record of it."""
    name = function.name if isinstance(function, Inert) else f"a {type(function).__name__}"
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    try:
        return _CALLS[name](*arguments) if name in _CALLS else Inert(name, arguments)
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError):
        return Inert(name, arguments)


def build(target: Any, state: Any) -> None:
    """Give ``target`` what a pickle kept as its state, where it matters."""
    if isinstance(target, Inert):
        target.state = state
    elif isinstance(target, np.ndarray):
        _fill(target, *state)
    elif isinstance(target, collections.OrderedDict) and isinstance(state, dict):
        metadata = state.get("_metadata")
        if isinstance(metadata, dict) and not any(isinstance(entry, (Inert, torch.Tensor)) for entry in walk(metadata)):
            vars(target)["_metadata"] = metadata  # versions of modules, which ``load_state_dict`` looks at


def _ordered(pairs: Iterable[tuple[Any, Any]] = ()) -> collections.OrderedDict:
    return collections.OrderedDict((as_key(key), value) for key, value in pairs)


def _set(kind: type) -> Callable[..., Any]:
    return lambda entries=(): kind(map(as_key, entries))


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return text.encode("latin1")


def _text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError
    return text


def _reconstructed(kind: Inert, base: Any = None, state: Any = None) -> Inert:
    """An object of protocol 0 and 1: what a subclass of list or dict holds is its ``state``."""
    record = Inert(kind.name, () if state is None else (state,))
    if isinstance(state, dict):
        record.pairs.extend(state.items())
    elif isinstance(state, list):
        record.items.extend(state)
    return record


# NumPy


def _number_type(record: Inert) -> np.dtype:
    """The dtype in a record of ``numpy.dtype(code)`` with its state, whose second entry is the order of the bytes."""
    code = record.args[0]
    if record.name != "numpy.dtype" or not (code == "O8" or _NUMBER.fullmatch(code)):
        raise ValueError
    order = record.state[1] if record.state else "|"
    return np.dtype(object) if code == "O8" else np.dtype(code).newbyteorder(order)


def _scalar(kind: Inert, content: Any) -> Any:
    dtype = _number_type(kind)
    content = content.encode("latin1") if isinstance(content, str) else content
    if dtype.hasobject or dtype.itemsize != len(content):
        raise ValueError
    return np.frombuffer(content, dtype)[0]


def _array(kind: Inert, *_: Any) -> np.ndarray:
    if kind.name != "numpy.ndarray":
        raise ValueError
    return np.empty(0)


def _fill(array: np.ndarray, _: Any, shape: Sequence[int], kind: Inert, by_columns: Any, content: Any) -> None:
    """Give an empty array its shape, type and content."""
    try:
        dtype = _number_type(kind)
    except (ValueError, TypeError, AttributeError, LookupError):
        return  # dates, structures: stepped over
    content = content.encode("latin1") if isinstance(content, str) else content
    size = math.prod(_whole(shape)) * (1 if dtype.hasobject else dtype.itemsize)
    if not isinstance(content, list if dtype.hasobject else bytes) or len(content) != size or not dtype.itemsize:
        raise pickle.UnpicklingError("an array and its content differ in size")
    state: Any = (1, tuple(shape), dtype, bool(by_columns), content)
    array.__setstate__(state)


def _from_buffer(content: Any, kind: Inert, shape: Sequence[int], order: Any = "C") -> np.ndarray:
    dtype = _number_type(kind)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError
    return np.frombuffer(bytes(content), dtype).reshape(_whole(shape), order=order)


# tensors


def _whole(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(type(value) is int and value >= 0 for value in values):
        raise TypeError
    return tuple(values)


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *more: Any) -> torch.Tensor:
    return _view(storage, storage.dtype, offset, size, stride, more[2] if len(more) > 2 else None)


def _tensor_of_bytes(
    storage: Any,
    offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    grad: Any,
    hooks: Any,
    dtype: torch.dtype,
    metadata: Any = None,
) -> torch.Tensor:
    return _view(storage, dtype, offset, size, stride, metadata)


def _view(
    storage: Any, dtype: torch.dtype, offset: int, size: Sequence[int], stride: Sequence[int], metadata: Any
) -> torch.Tensor:
    """A tensor over a storage, once it is sure to lie within."""
    if metadata or not isinstance(storage, Storage):
        raise TypeError
    (offset,), size, stride = _whole([offset]), _whole(size), _whole(stride)
    there, count = storage.untyped.nbytes() // dtype.itemsize, math.prod(size)
    first = storage.start + offset
    last = first + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count and (last >= there or count > max(there, _MOST_REPEATED)):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return torch.empty(0, dtype=dtype).set_(storage.untyped, first if count else 0, size, stride)


def _parameter(data: Any, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise TypeError
    return data


def _of_type(function: Any, kind: Inert, arguments: Any, state: Any) -> Any:
    if kind.name not in _TENSORS:
        raise TypeError
    return call(function, arguments)


_CALLS: dict[str, Callable[..., Any]] = {
    "builtins.dict": dict,
    "builtins.set": _set(set),
    "builtins.frozenset": _set(frozenset),
    "builtins.bytearray": lambda *text: bytearray(_bytes(*text)),
    "builtins.bytes": _bytes,
    "_codecs.encode": _bytes,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda *_: {},
    "copyreg._reconstructor": _reconstructed,
    "copyreg.__newobj__": lambda kind, *arguments: call(kind, arguments),
    "numpy.dtype": lambda code, *_: Inert("numpy.dtype", (code,)),
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.multiarray._reconstruct": _array,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "torch.Size": lambda size=(): _whole(size),
    "torch.torch_version.TorchVersion": _text,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_bytes,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _of_type,
}
