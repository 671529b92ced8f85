"""Archives (zip, tar) are unpacked whole or not at all, and never outside their folder."""

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from ..errors import UserError

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, ValueError, RuntimeError)


def is_archive(path: str | Path) -> bool:
    """Whether the file is a zip or tar archive to unpack; torch's own zip files are weights, not archives."""
    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as content:
            return not any(name.endswith("/data.pkl") and name.count("/") == 1 for name in content.namelist())
    return tarfile.is_tarfile(path)


def unzip(path: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip archive into ``folder``; see :func:`unpack`."""
    return unpack(path, folder)


def unpack(path: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip or tar archive into ``folder``.

    Everything is unpacked into a hidden folder beside ``folder`` first (zip members against their checksums) and
    moved when it is complete; whatever fails leaves nothing behind. Only plain files and folders are written.

    Args:
        path: the archive.
        folder: created when missing; an entry of the archive's top level must not be in it yet.

    Returns:
        The files that were written, sorted.

    Raises:
        UserError: not an archive, broken, encrypted, too large for the disk, a member that leads outside or is a
            link or device, or an entry that exists already.
    """
    path, folder = Path(path), Path(folder).absolute()
    staging = folder.with_name(f".{folder.name}.unpacking")
    try:
        with closing(_open(path)) as members:
            names = members.plain_names()
            _check_names(path, names, folder)
            _check_room(path, members.total(), folder)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            for name in tqdm(names, desc=f"unpacking {path.name}", unit="file", disable=None):
                _write_member(members, name, staging / name)
        return _move(staging, folder, names)
    except _BROKEN as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged and was not unpacked: {error}") from None
    except OSError as error:
        raise UserError(f"cannot unpack {path} into {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path, self.file = path, zipfile.ZipFile(path)

    def plain_names(self) -> list[str]:
        """Names of all plain files; anything but files and folders is refused."""
        files = [info for info in self.file.infolist() if not info.is_dir()]
        for info in files:
            kind = (info.external_attr >> 28) & 0xF  # file type of Unix, 0 where none was stored
            if kind not in (0, 8):
                raise UserError(f"{self.path} is refused: its member {info.filename!r} is a link or device")
            if info.flag_bits & 1:
                raise UserError(f"{self.path} is refused: its member {info.filename!r} is encrypted")
        return [info.filename for info in files]

    def total(self) -> int:
        return sum(info.file_size for info in self.file.infolist())

    def open(self, name: str) -> IO[bytes]:
        return self.file.open(name)

    def close(self) -> None:
        self.file.close()


class _Tar:
    def __init__(self, path: Path) -> None:
        self.path, self.file = path, tarfile.open(path)

    def plain_names(self) -> list[str]:
        files = [info for info in self.file.getmembers() if not info.isdir()]
        for info in files:
            if not info.isreg():
                raise UserError(f"{self.path} is refused: its member {info.name!r} is a link or device")
        return [info.name for info in files]

    def total(self) -> int:
        return sum(info.size for info in self.file.getmembers())

    def open(self, name: str) -> IO[bytes]:
        content = self.file.extractfile(name)
        if content is None:  # of the members of one name, tar gives the last
            raise UserError(f"{self.path} is refused: its member {name!r} is a file and then something else")
        return content

    def close(self) -> None:
        self.file.close()


def _open(path: Path) -> _Zip | _Tar:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if zipfile.is_zipfile(path):
        return _Zip(path)
    if tarfile.is_tarfile(path):
        return _Tar(path)
    raise UserError(f"{path} is no zip or tar archive, or it is truncated")


def _check_names(path: Path, names: Sequence[str], folder: Path) -> None:
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0] or "\0" in name:
            raise UserError(f"{path} is refused: its member {name!r} leads outside the folder")
    if len(set(names)) != len(names):
        raise UserError(f"{path} is refused: it has two members of one name")
    taken = sorted({PurePosixPath(name).parts[0] for name in names if (folder / PurePosixPath(name).parts[0]).exists()})
    if taken:
        raise UserError(f"{folder} already holds {taken[0]!r}; remove it or choose another folder")


def _check_room(path: Path, needed: int, folder: Path) -> None:
    place = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(f"no room to unpack {path}: it needs {needed} bytes, {free} are free on the disk of {place}")


def _write_member(members: _Zip | _Tar, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with members.open(name) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _move(staging: Path, folder: Path, names: Sequence[str]) -> list[Path]:
    if folder.exists():
        for entry in sorted(staging.iterdir()):
            os.replace(entry, folder / entry.name)
    else:
        os.replace(staging, folder)
    return sorted(folder / name for name in names)
