"""Where MUSDB18-HQ comes from, in words and, if the user says so, by download."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...common.errors import UserError

RECORD = 3338373
ARCHIVE = "musdb18hq.zip"
ARCHIVE_BYTES = 22.7e9
ROOM = 2.5  # archive and unpacked files together, in sizes of the archive

_WHERE = f"""MUSDB18-HQ is not at {{root}}.
It is {ARCHIVE_BYTES / 1e9:.1f} GB, free for academic use, at https://doi.org/10.5281/zenodo.{RECORD} (file {ARCHIVE}, 150 tracks).
Either unzip it so that {{root}}/train and {{root}}/test hold the tracks, or say where it lies (--musdb_root), or let this
stage download it (--download true; it can be interrupted and needs {ROOM * ARCHIVE_BYTES / 1e9:.0f} GB of disk on the way)."""


def provide_musdb18hq(root: str | Path, download: bool = False, api: str | None = None) -> None:
    """Make sure that ``root`` holds MUSDB18-HQ; a corpus that is there stays untouched.

    The archive lies beside ``root`` while it is fetched (an interrupted download is continued), is checked against
    Zenodo's checksum, and is removed when its tracks are in place.

    Args:
        root: folder for ``train`` and ``test``.
        download: fetch it when it is missing.
        api: address of the Zenodo API.

    Raises:
        UserError: if it is missing and ``download`` is false (says where it comes from), if there is not enough disk,
            and if the download fails.
    """
    root = Path(root)
    refuse_stem_mp4(root)
    if not is_there(root, download, _WHERE):
        with unpacked(RECORD, ARCHIVE, root, api) as top:
            os.replace(top, root)


def is_there(root: Path, download: bool, where: str) -> bool:
    """Whether ``root`` holds a corpus; if not, it may be downloaded to there.

    Raises:
        UserError: if it is missing and ``download`` is false (says ``where`` it comes from), or something else is there.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        return True
    if not download:
        raise UserError(where.format(root=root))
    if root.exists() and any(root.iterdir()):
        raise UserError(f"{root} is not empty and holds no train and test; give an empty or new folder")
    return False


def refuse_stem_mp4(root: str | Path) -> None:
    """MUSDB18 comes as ``.stem.mp4``; whoever has that is told what MUSDB18-HQ is and how to get there.

    Raises:
        UserError: if such files lie where folders of tracks are expected.
    """
    if next(Path(root).glob("*/*.stem.mp4"), None) is not None:
        raise UserError(
            f"{root} holds MUSDB18 (.stem.mp4, compressed), and this needs MUSDB18-HQ (folders of wav): fetch it into another "
            f"folder with --download true, or decode these files with 'musdbconvert {root} NEW_FOLDER' (from the package musdb), "
            "which gives the layout but not the sound above 16 kHz, so that scores are not those of MUSDB18-HQ"
        )


@contextmanager
def unpacked(record: int, name: str, root: Path, api: str | None = None) -> Iterator[Path]:
    """Fetch an archive of a Zenodo record and unpack it beside ``root``; yield the folder that holds train/ and test/.

    The archive lies beside ``root`` while it is fetched, and is kept if the block fails; at the end both are removed.

    Raises:
        UserError: if the record has no such file, there is not enough disk, the download fails, or the archive holds
            something else.
    """
    from ...common.download import fetch, unpack, zenodo_record

    known = {file["name"]: file for file in zenodo_record(record, api)["files"]}
    if name not in known:
        raise UserError(f"Zenodo record {record} holds {', '.join(known)}, not {name}")
    file, archive = known[name], root.with_name(name)
    root.parent.mkdir(parents=True, exist_ok=True)
    _check_room(root.parent, file["size"], [archive, Path(f"{archive}.part")])
    fetch(file["url"], archive, checksum=file["checksum"], size=file["size"])
    partial = root.with_name(f".{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    unpack(archive, partial)
    top = partial if (partial / "train").is_dir() else next(iter(partial.glob("*/train")), partial / "none").parent
    if not ((top / "train").is_dir() and (top / "test").is_dir()):
        raise UserError(f"{archive} does not hold train/ and test/; what it holds is in {partial}")
    yield top
    shutil.rmtree(partial, ignore_errors=True)
    archive.unlink()


def _check_room(folder: Path, size: int, already: Iterable[Path]) -> None:
    there = sum(path.stat().st_size for path in already if path.exists())
    needed, free = ROOM * size - there, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: {needed / 1e9:.1f} GB of disk are needed to download and unpack, {free / 1e9:.1f} GB are free"
        )
