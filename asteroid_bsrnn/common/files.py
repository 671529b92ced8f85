"""Files appear whole or not at all: written beside their place, then renamed onto it."""

import errno
import glob
import json
import math
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from . import locks
from .errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\.[^.]*)?")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it onto ``path`` when the block succeeds.

    The temporary name keeps the suffix, so that writers that choose a format by suffix work. What the block
    left behind is removed when it fails, and the old file, if there was one, stays as it was.

    Args:
        path: where the file shall appear. Its folder is created when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, f".partial{path.suffix}")
    try:
        with _held(partial):
            yield partial
            _to_disk(partial)
            os.replace(partial, path)
    except OSError as error:
        if error.filename in (None, partial, str(partial)):  # a failed write does not say of what
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _held(partial: Path) -> Iterator[None]:
    """Hold a lock on the file that is being written, so that nobody takes it for a leftover."""
    if locks.fcntl is None:
        yield
        return
    with open(partial, "wb") as mine:
        locks.hold(mine)
        yield


def remove_leftovers(folder: str | Path) -> None:
    """Remove what killed processes left half written in ``folder``; what somebody is writing stays.

    A file that is being written is locked by its writer, however that ends. Where the file system knows no locks, all
    files stay.
    """
    for path in Path(folder).glob(".*.partial*"):
        if _PARTIAL.fullmatch(path.name) and path.is_file():
            with open(path, "rb") as found:
                if locks.hold(found):
                    path.unlink(missing_ok=True)


def remove_old_names(paths: Iterable[Path]) -> None:
    """Remove second names of old files that a process left which was killed while it replaced ``paths``."""
    for path in paths:
        for old in path.parent.glob(f".{glob.escape(_short(path.stem))}.????????.old"):
            old.unlink(missing_ok=True)


def nfc(name: str) -> str:
    """A name in Unicode's composed form: file systems and archives disagree on how they store an accent."""
    return unicodedata.normalize("NFC", name)


@contextmanager
def atomic_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield temporary paths for several files that appear together when the block succeeds, or not at all.

    The temporary names end in ``.partial``: no search for files of a kind finds them. If one of the files cannot appear,
    those that did are taken away and the old ones put back.

    Args:
        paths: where the files shall appear. Their folders are created when missing.
    """
    partials = [_beside(path, ".partial") for path in paths]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            for partial in partials:
                stack.enter_context(_held(partial))
            yield partials
            for partial in partials:
                _to_disk(partial)
            _replace_all(partials, paths)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``path`` that takes its place when the block succeeds; nothing is left of one that fails.

    Args:
        path: where the folder shall appear; what is there then is gone. Its parents are created when missing.
    """
    path = Path(path).resolve()
    partial, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_all(partials: Sequence[Path], paths: Sequence[Path]) -> None:
    olds, placed = [_beside(path, ".old") for path in paths], []
    try:
        for partial, path, old in zip(partials, paths, olds):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is in its place", str(path))
            kept = path.exists() and _keep(path, old)
            placed.append((path, old if kept else None))
            os.replace(partial, path)
    except BaseException:
        for path, saved in placed:
            os.replace(saved, path) if saved else path.unlink(missing_ok=True)
        raise
    finally:
        for old in olds:
            old.unlink(missing_ok=True)


def _keep(path: Path, old: Path) -> bool:
    """Give a file a second name, or copy it where a disk has no such thing."""
    try:
        os.link(path, old)
    except OSError:
        shutil.copy2(path, old)
    return True


def _beside(path: Path, ending: str) -> Path:
    """A hidden name in the folder of a path that is not taken."""
    return path.with_name(f".{_short(path.stem)}.{secrets.token_hex(4)}{ending}")


def _short(stem: str) -> str:
    """What of a name is kept in hidden ones, which are longer."""
    return os.fsdecode(os.fsencode(stem)[:80])


def _to_disk(path: Path) -> None:
    with open(path, "r+b") as written:  # Windows flushes no file that is open for reading
        os.fsync(written.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def strict(value: Any) -> Any:
    """``value`` with null for every number that JSON does not have: NaN and infinity."""
    if isinstance(value, dict):
        return {key: strict(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a broken one is a :class:`UserError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None


def load_yaml(path: str | Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Read a YAML file; a broken one is a :class:`UserError` that names it."""
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None


@contextmanager
def full_disk_explained(folder: str | Path) -> Iterator[None]:
    """Turn "no room" from the block, whatever file it was for, into a :class:`UserError` with the way on.

    Args:
        folder: where the block writes; named if the error itself names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise UserError(no_room(error.filename or folder, error.strerror)) from error


def no_room(path: str | Path, reason: str | None) -> str:
    """Sentence for a file of an experiment that could not be written: which, why, how full its disk is, the way on."""
    folder = next(folder for folder in Path(path).absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free / 1e6
    return (
        f"{path} could not be written ({reason}; {free:.1f} MB are free on its disk); what was saved before stays: "
        "make room and run the same command again to continue from it"
    )
