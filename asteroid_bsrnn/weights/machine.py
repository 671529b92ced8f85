"""A machine that reads any pickle and calls nothing in it: every name stays a name.

The standard library takes the pickle apart (``pickletools.genops``, which also checks that every length that the file
states is there) and this machine plays its instructions on containers of its own. Calls become records
(:class:`~asteroid_bsrnn.weights.inert.Inert`), except those in :mod:`~asteroid_bsrnn.weights.known`.
"""

import pickle
import pickletools
from collections.abc import Callable
from functools import partialmethod
from typing import Any, BinaryIO

from .inert import Inert, as_key
from .known import build, call, named

_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES BINBYTES8 SHORT_BINBYTES BYTEARRAY8".split()
)
_OF_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    "FROZENSET": lambda entries: frozenset(map(as_key, entries)),
}


def read_pickle(file: BinaryIO, persistent: Callable[[Any], Any] = lambda key: Inert("persistent", (key,))) -> Any:
    """Read one pickle of any protocol, and leave ``file`` behind its end.

    Args:
        file: open for reading bytes.
        persistent: what stands for an object that the pickle keeps elsewhere, given its key.

    Returns:
        Plain values, tensors, NumPy's numbers and arrays, and records of everything else.

    Raises:
        ValueError, IndexError, KeyError, TypeError, pickle.UnpicklingError: if it is no whole pickle.
    """
    return _Machine(persistent).run(file)


class _Machine:
    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[Any, Any] = {}
        self.names: dict[tuple[str, str], Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for code, argument, _ in pickletools.genops(file):
            self._step(code.name, argument)
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _NEW:
            self.stack.append(_NEW[name]())
        elif name in _OF_MARK:
            entries = self._to_mark()
            self.stack.append(_OF_MARK[name](entries))
        elif name not in ("PROTO", "FRAME", "STOP"):
            method = getattr(self, "_" + name.lower(), None)
            if method is None:
                raise pickle.UnpicklingError(f"it holds the instruction {name}, which files have no use for")
            method(argument)

    def _to_mark(self) -> list[Any]:
        entries, self.stack = self.stack, self.marked.pop()
        return entries

    def _mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _pop(self, _: Any) -> None:
        self.stack.pop() if self.stack else self._to_mark()

    def _pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    # memory

    def _put(self, index: Any) -> None:
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self._put(len(self.memo))

    def _get(self, index: Any) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    # containers

    def _tuple1(self, _: Any, count: int = 1) -> None:
        if len(self.stack) < count:
            raise IndexError("too few values for a tuple")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    _tuple2, _tuple3 = partialmethod(_tuple1, count=2), partialmethod(_tuple1, count=3)

    def _dict(self, _: Any) -> None:
        target: dict[Any, Any] = {}
        entries = self._to_mark()
        self._assign(target, entries)
        self.stack.append(target)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._assign(self.stack[-1], [key, value])

    def _setitems(self, _: Any) -> None:
        entries = self._to_mark()
        self._assign(self.stack[-1], entries)

    @staticmethod
    def _assign(target: Any, entries: list[Any]) -> None:
        pairs = [(as_key(key), value) for key, value in zip(entries[::2], entries[1::2], strict=True)]
        if isinstance(target, Inert):
            target.pairs.extend(pairs)
        elif isinstance(target, dict):
            target.update(pairs)
        else:
            raise pickle.UnpicklingError(f"it assigns entries to a {type(target).__name__}")

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, entries: list[Any]) -> None:
        target = self.stack[-1]
        list.extend(target.items if isinstance(target, Inert) else target, entries)

    def _additems(self, _: Any) -> None:
        entries, target = self._to_mark(), self.stack[-1]
        target.items.extend(entries) if isinstance(target, Inert) else set.update(target, map(as_key, entries))

    # names and calls

    def _global(self, words: str) -> None:
        module, name = words.split(" ", 1)
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(str(module), str(name))

    def _name(self, module: str, name: str) -> None:
        self.stack.append(self.names.setdefault((module, name), named(module, name)))

    def _ext1(self, code: int) -> None:
        self._name("copyreg", f"extension_{code}")

    _ext2 = _ext4 = _ext1

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(call(function, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        keywords, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(call(function, (*arguments, keywords) if keywords else arguments))

    def _inst(self, words: str) -> None:
        arguments = tuple(self._to_mark())
        self._global(words)
        self.stack.append(call(self.stack.pop(), arguments))

    def _obj(self, _: Any) -> None:
        function, *arguments = self._to_mark()
        self.stack.append(call(function, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        build(self.stack[-1], state)

    def _persid(self, key: Any) -> None:
        self.stack.append(self.persistent(key))

    def _binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))
