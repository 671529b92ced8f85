"""Recordings and stems at addresses (``s3://``, ``gs://``, ``https://``, ``memory://``, ...): what fsspec can open.

An input is fetched into a temporary folder and removed when its stems are written; outputs are written there too, then
put in their place whole. ``file://`` is a path by another name.
"""

import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from ..common.errors import AudioError, UserError, first_line

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z0-9+.:/-]+)?://")  # a drive has one letter
_WEB = ("http", "https")


def is_address(text: object) -> bool:
    """Whether a text is an address; paths are not, and no ``Path`` is."""
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def local_or_address(text: str | Path) -> str | Path:
    """The path that a ``file://`` address names, else what was given."""
    if is_address(text) and str(text).lower().startswith("file://"):
        return Path(url2pathname(urlparse(str(text)).path))
    return text


def open_system(address: str) -> tuple[AbstractFileSystem, str]:
    """The file system of an address, and the path there.

    Raises:
        UserError: for an unknown protocol, or one whose package is not installed.
    """
    protocol = address.partition("://")[0]
    try:
        return url_to_fs(address)
    except ImportError as error:
        raise UserError(f"{address}: {protocol}:// needs another package: {error} (pip install)") from None
    except ValueError as error:
        raise UserError(f"{address} cannot be opened: {error}") from None


def name_of(address: str) -> str:
    """The name of the file at an address: no folders, no query, no escapes."""
    path = address.partition("?")[0].partition("#")[0] if address.partition("://")[0] in _WEB else address
    return Path(unquote(path.rstrip("/").rpartition("/")[2])).name or "recording"


def join(address: str, *parts: str) -> str:
    """An address below another one."""
    return "/".join([address.rstrip("/"), *parts])


def exists(address: str) -> bool:
    """Whether there is a file at an address."""
    system, path = open_system(address)
    with _explained(address, "cannot be looked at"):
        return system.isfile(path)


def read_text(address: str) -> str:
    """The text (UTF-8) at an address."""
    system, path = open_system(address)
    with _explained(address, "cannot be fetched"):
        return system.cat_file(path).decode("utf-8-sig", "surrogateescape")


def files_below(address: str, suffixes: frozenset[str] | tuple[str, ...]) -> list[str]:
    """Addresses of the visible files with these suffixes below a folder, in order; [address] where it is a file.

    A web address always is one file, as web servers list nothing.
    """
    if address.partition("://")[0] in _WEB:
        return [address]
    system, path = open_system(address)
    with _explained(address, "cannot be searched"):
        if not system.isdir(path):
            return [address]
        found = [file for file in system.find(path) if Path(file).suffix.lower() in suffixes]
    inside = (file[len(path) :] for file in found)
    visible = [file for file, rest in zip(found, inside) if not any(part.startswith(".") for part in rest.split("/"))]
    return [system.unstrip_protocol(file) for file in sorted(visible)]


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """A temporary copy of the file at an address, under its own name.

    Raises:
        AudioError: if it is not there or breaks off.
    """
    system, path = open_system(address)
    with tempfile.TemporaryDirectory(prefix="asteroid_bsrnn_") as folder:
        copy = Path(folder) / name_of(address)
        with _explained(address, "cannot be fetched"):
            system.get_file(path, str(copy))
        yield copy


def put_all(files: Mapping[Path, str]) -> None:
    """Put local files at addresses: all of them appear, each whole, or none does.

    Where the file system renames, they go under hidden names first. Object stores show an object when all of it has
    arrived, and would copy to rename.

    Raises:
        UserError: for web addresses, which can be read only.
        AudioError: if they cannot be written.
    """
    placed: list[tuple[AbstractFileSystem, str]] = []
    moves: list[tuple[AbstractFileSystem, str, str]] = []
    try:
        for file, address in files.items():
            system, path = open_output(address)
            folder, _, name = path.rpartition("/")
            renames = type(system).mv is not AbstractFileSystem.mv
            target = f"{folder}/.{name}.{secrets.token_hex(4)}.partial" if renames else path
            with _explained(address, "cannot be written"):
                system.makedirs(folder, exist_ok=True)
                placed.append((system, target))
                system.put_file(str(file), target)
            if renames:
                moves.append((system, target, path))
        for place, (system, target, path) in enumerate(moves):
            with _explained(path, "cannot be written"):
                system.mv(target, path)
            placed[place] = (system, path)
    except BaseException:
        for system, path in placed:
            with suppress(Exception):  # it never was there, or the connection is gone: the first error is told
                system.rm_file(path)
        raise


def open_output(address: str) -> tuple[AbstractFileSystem, str]:
    """As :func:`open_system`, for writing.

    Raises:
        UserError: for web addresses.
    """
    if address.partition("://")[0] in _WEB:
        raise UserError(f"{address} can be read, not written: stems can go to a folder or an object store")
    return open_system(address)


@contextmanager
def named_as(given: str, file: Path) -> Iterator[None]:
    """Errors about a temporary copy name what it is a copy of."""
    try:
        yield
    except AudioError as error:
        if error.path != str(file):
            raise
        raise AudioError(given, error.reason) from None


@contextmanager
def _explained(address: str, what: str) -> Iterator[None]:
    """Turn whatever a protocol's package raises into one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise AudioError(address, "does not exist") from None
    except Exception as error:
        raise AudioError(address, f"{what}: {first_line(error)}") from None
