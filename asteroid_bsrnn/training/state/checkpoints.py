"""Checkpoints that survive a kill at any moment, and the lock that keeps two runs out of one folder."""
import fcntl
import os
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import torch

from ...common.errors import UserError
from ...common.files import atomic_path, remove_leftovers

FORMAT = 1


class Checkpoints:
    """Numbered files ``resume_<n>.ckpt`` in one folder; the newest readable one counts.

    Each is written beside its place, flushed to the disk and renamed, so a kill leaves either the old set or the new
    one. PyTorch does not check its files, so the checksums inside are verified before one is trusted.

    Args:
        folder (str or Path): created when missing.
        keep (int): how many to keep.
    """

    def __init__(self, folder, keep=2):
        self.folder, self.keep = Path(folder), keep
        self.folder.mkdir(parents=True, exist_ok=True)

    def files(self):
        """Checkpoints, newest first."""
        return sorted(self.folder.glob("resume_*.ckpt"), reverse=True)

    def save(self, state):
        """Write ``state`` (plain values and tensors) as the newest checkpoint; drop the oldest.

        Raises:
            UserError: if it could not be written; the earlier ones are untouched.
        """
        known = self.files()
        number = int(known[0].stem.split("_")[1]) + 1 if known else 0
        write_torch({"format": FORMAT, **state}, self.folder / f"resume_{number:08d}.ckpt")
        for old in known[self.keep - 1 :]:
            old.unlink(missing_ok=True)

    def newest(self, report=print):
        """Path of the newest checkpoint that can be read, None if there is none at all; broken ones are removed.

        Raises:
            UserError: if there are checkpoints and all are broken.
        """
        known = self.files()
        for path in known:
            reason = damage(path)
            if reason is None:
                return path
            report(f"{path} is broken ({reason}): removed, continuing from the one before")
            path.unlink()
        if known:
            raise UserError(f"none of the checkpoints in {self.folder} can be read: start anew in another folder")
        return None

    def remove_partial(self):
        """Remove what a killed run left unfinished. Only for the holder of the lock."""
        for path in self.folder.glob(".*.partial*"):
            path.unlink(missing_ok=True)
        remove_leftovers(self.folder.parent)


def write_torch(value, path):
    """``torch.save``, whole or not at all, and on the disk when it returns.

    Raises:
        UserError: if it could not be written (full disk).
    """
    try:
        with atomic_path(path) as partial:
            torch.save(value, partial)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise UserError(
            f"{path} could not be written ({_first_line(error)}); the last checkpoint stays: make room and run the "
            "same command again to continue from it"
        ) from error


def damage(path):
    """Why a checkpoint cannot be trusted (truncated, changed, another format), or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            return f"wrong checksum of {broken}"
        found = load(path).get("format")
    except Exception as error:  # whatever a damaged file makes the readers raise
        return _first_line(error)
    return None if found == FORMAT else f"format {found}, expected {FORMAT}"


def load(path):
    """Read a checkpoint onto the CPU; only plain values and tensors are accepted."""
    return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def exclusive(folder):
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


def _sync_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error):
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
