"""Checkpoints that survive a kill at any moment, and the lock that keeps two runs out of one folder."""

import fcntl
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...common.errors import UserError, first_line
from ...common.files import atomic_path, no_room, remove_leftovers

FORMAT = 1
KEPT = 2  # checkpoints of a run
_CHECKPOINT = re.compile(r"resume_(\d{8,})\.ckpt")
_WEIGHTS = re.compile(r"epoch=(\d+)-step=\d+\.pth")


class Checkpoints:
    """Numbered files ``resume_<n>.ckpt`` in one folder; the newest readable one counts. Other names are left alone.

    Each is written beside its place, flushed to the disk and renamed, so a kill leaves either the old set or the new
    one. PyTorch does not check its files, so the checksums inside are verified before one is trusted.

    Args:
        folder: created when the first is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.broken: set[Path] = set()

    def files(self) -> list[Path]:
        """Checkpoints, newest first."""
        return sorted(_named(self.folder, _CHECKPOINT), key=_number, reverse=True)

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` (plain values and tensors) as the newest checkpoint; drop the oldest, and broken ones.

        Raises:
            UserError: if it could not be written; the earlier ones are untouched.
        """
        known = self.files()
        number = _number(known[0]) + 1 if known else 0
        write_torch({"format": FORMAT, **state}, self.folder / f"resume_{number:08d}.ckpt")
        readable = [path for path in known if path not in self.broken]
        for old in [*self.broken, *readable[KEPT - 1 :]]:
            old.unlink(missing_ok=True)
        self.broken.clear()

    def newest(self, report: Callable[[str], Any] = print) -> Path | None:
        """Path of the newest checkpoint that can be read, None if there is none at all. Changes nothing.

        Raises:
            UserError: if there are checkpoints and all are broken.
        """
        reasons: list[str] = []
        for path in self.files():
            reason = damage(path)
            if reason is None:
                for text in reasons:
                    report(f"{text}: continuing from the one before")
                return path
            self.broken.add(path)
            reasons.append(f"{path} is broken ({reason})")
        if reasons:
            raise UserError(
                f"none of the checkpoints in {self.folder} can be read: {'; '.join(reasons)}; nothing was changed: "
                "restore one of them from a copy, or start anew in another folder (another tag)"
            )
        return None

    def remove_partial(self) -> None:
        """Remove what a killed run left unfinished, here and beside this folder. Only for the holder of the lock."""
        for folder in (self.folder, self.folder.parent):
            remove_leftovers(folder)


def _named(folder: Path, pattern: re.Pattern) -> list[Path]:
    return [path for path in folder.glob("*") if pattern.fullmatch(path.name)]


def _number(path: Path) -> int:
    return _number_in(path, _CHECKPOINT)


def _number_in(path: Path, pattern: re.Pattern) -> int:
    found = pattern.fullmatch(path.name)
    assert found, f"{path} is no file of ours"
    return int(found[1])


def weights_files(folder: Path) -> list[Path]:
    """The files of weights that validation left, ``epoch=<n>-step=<n>.pth``; other names are the user's."""
    return _named(folder, _WEIGHTS)


def weights_epoch(path: Path) -> int:
    """Number of the epoch (the first is 1) whose weights ``path`` holds."""
    return _number_in(path, _WEIGHTS)


def write_torch(value: Any, path: Path) -> None:
    """``torch.save``, whole or not at all, and on the disk when it returns; equal values give equal bytes.

    Raises:
        UserError: if it could not be written (full disk).
    """
    try:
        with atomic_path(path) as partial, open(partial, "wb") as file:
            torch.save(value, file)  # to a file object: the archive then does not hold the partial name
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise UserError(no_room(path, getattr(error, "strerror", None) or first_line(error)[:200])) from error


def damage(path: Path, weights: bool = False) -> str | None:
    """Why a file cannot be trusted (missing, truncated, changed, another format), or None.

    Args:
        path: a checkpoint.
        weights: it holds only a model, as ``serialize`` gives it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            return f"wrong checksum of {broken}"
        found = load(path)
        if weights:
            return None if "state_dict" in found else "it holds no weights"
    except Exception as error:  # whatever a damaged file makes the readers raise
        return first_line(error)[:200]
    return None if found.get("format") == FORMAT else f"format {found.get('format')}, expected {FORMAT}"


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; only plain values and tensors are accepted."""
    return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def exclusive(folder: str | Path) -> Iterator[None]:
    """Hold ``folder`` for one training run; the lock ends with the process, however that ends.

    A record lock: unlike ``flock`` it is not inherited by worker processes, which outlive a killed parent for seconds.
    File systems that know no locks are not guarded.

    Raises:
        UserError: if another process holds it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open(Path(folder) / ".lock", "a") as handle:
        for attempt in range(3):  # somebody may only be looking (asteroid-bsrnn sweep --status)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                if attempt == 2:
                    raise UserError(
                        f"another process is training in {folder}: wait for it or choose another folder"
                    ) from None
                time.sleep(0.2)
            except OSError:
                break
        yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
