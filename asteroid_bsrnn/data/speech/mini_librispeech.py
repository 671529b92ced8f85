"""Mini LibriSpeech (OpenSLR 31), two archives of 459 MB together: fetched only when the user says so."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...common.errors import UserError

URL = "https://www.openslr.org/resources/31"
#: Archive -> size in bytes, MD5.
ARCHIVES = {
    "train-clean-5.tar.gz": (332954390, "5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2.tar.gz": (126046265, "6d7ab67ac6a1d2c993d050e16d61080d"),
}

_WHERE = """There are no voices at {root}.
Say where a folder in LibriSpeech's layout lies (--librispeech_root), or let this stage fetch Mini LibriSpeech (--download
true): 459 MB from {url}, CC BY 4.0; an interrupted download is continued."""


def provide_voices(root: str | Path, download: bool = False) -> None:
    """Make sure that ``root`` exists; fetch Mini LibriSpeech into it where it does not.

    Args:
        root: LibriSpeech's folder.
        download: whether it may be fetched, from where the environment variable ASTEROID_BSRNN_OPENSLR says, else OpenSLR.

    Raises:
        UserError: if it is missing and ``download`` is false (says where it comes from), or the download fails.
    """
    root, url = Path(root), os.environ.get("ASTEROID_BSRNN_OPENSLR") or URL
    if root.is_dir():
        return
    if not download:
        raise UserError(_WHERE.format(root=root, url=url))
    from ...common.download import fetch, unpack

    root.parent.mkdir(parents=True, exist_ok=True)
    archives = [root.with_name(name) for name in ARCHIVES]
    for archive, (size, md5) in zip(archives, ARCHIVES.values()):
        fetch(f"{url}/{archive.name}", archive, checksum=f"md5:{md5}", size=size)
    partial = root.with_name(f".{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for archive in archives:
        unpack(archive, partial / archive.name)
    _join([partial / archive.name / "LibriSpeech" for archive in archives], root)
    shutil.rmtree(partial)
    for archive in archives:
        archive.unlink()


def _join(folders: Sequence[Path], root: Path) -> None:
    """Move what lies in several folders into the first, and that to ``root``; later files of one name are dropped."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder.parent.name} does not hold the folder LibriSpeech; what it holds is in {folder.parent}"
            )
    first, *others = folders
    for folder in others:
        for entry in sorted(folder.iterdir()):
            if not (first / entry.name).exists():
                os.replace(entry, first / entry.name)
    os.replace(first, root)
