"""Files appear whole or not at all: written beside their place, then renamed onto it."""
import errno
import json
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path):
    """Yield a temporary path in the folder of ``path``; rename it onto ``path`` when the block succeeds.

    The temporary name keeps the suffix, so that writers that choose a format by suffix work. What the block
    left behind is removed when it fails, and the old file, if there was one, stays as it was.

    Args:
        path (str or Path): where the file shall appear. Its folder is created when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        with open(partial, "r+b") as written:  # Windows flushes no file that is open for reading
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.filename in (None, partial, str(partial)):  # a failed write does not say of what
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path, text):
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write ``value`` as readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """Read a JSON file; a broken one is a :class:`UserError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None


@contextmanager
def full_disk_explained(folder):
    """Turn "no room" from the block, whatever file it was for, into a :class:`UserError` with the way on.

    Args:
        folder (str or Path): where the block writes; named if the error itself names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise UserError(no_room(error.filename or folder, error.strerror)) from error


def no_room(path, reason):
    """Sentence for a file of an experiment that could not be written: which, why, how full its disk is, the way on."""
    folder = next(folder for folder in Path(path).absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free / 1e6
    return (
        f"{path} could not be written ({reason}; {free:.1f} MB are free on its disk); what was saved before stays: "
        "make room and run the same command again to continue from it"
    )
