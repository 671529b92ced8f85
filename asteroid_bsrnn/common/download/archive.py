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
            files = members.plain_files(path)
            names = [name for name, _ in files]
            _check_names(path, names, folder)
            _check_room(path, sum(size for _, size in files), folder)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            for name in tqdm(names, desc=f"unpacking {path.name}", unit="file", disable=None):
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with members.content(path, name) as source, open(target, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
        return _move(staging, folder, names)
    except _BROKEN as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged and was not unpacked: {error}") from None
    except OSError as error:
        raise UserError(f"cannot unpack {path} into {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Zip(zipfile.ZipFile):
    def plain_files(self, path: Path) -> list[tuple[str, int]]:
        """(name, size) of all plain files; anything but files and folders is refused."""
        files = [info for info in self.infolist() if not info.is_dir()]
        for info in files:
            kind = (info.external_attr >> 28) & 0xF  # file type of Unix, 0 where none was stored
            if kind not in (0, 8):
                raise UserError(f"{path} is refused: its member {info.filename!r} is a link or device")
            if info.flag_bits & 1:
                raise UserError(f"{path} is refused: its member {info.filename!r} is encrypted")
        return [(info.filename, info.file_size) for info in files]

    def content(self, path: Path, name: str) -> IO[bytes]:
        return self.open(name)


class _Tar(tarfile.TarFile):
    def plain_files(self, path: Path) -> list[tuple[str, int]]:
        """As :meth:`_Zip.plain_files`."""
        files = [info for info in self.getmembers() if not info.isdir()]
        for info in files:
            if not info.isreg():
                raise UserError(f"{path} is refused: its member {info.name!r} is a link or device")
        return [(info.name, info.size) for info in files]

    def content(self, path: Path, name: str) -> IO[bytes]:
        content = self.extractfile(name)
        if content is None:  # of the members of one name, tar gives the last
            raise UserError(f"{path} is refused: its member {name!r} is a file and then something else")
        return content


def _open(path: Path) -> _Zip | _Tar:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if zipfile.is_zipfile(path):
        return _Zip(path)
    if tarfile.is_tarfile(path):
        return _Tar.open(path)
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


def _move(staging: Path, folder: Path, names: Sequence[str]) -> list[Path]:
    if folder.exists():
        for entry in sorted(staging.iterdir()):
            os.replace(entry, folder / entry.name)
    else:
        os.replace(staging, folder)
    return sorted(folder / name for name in names)
