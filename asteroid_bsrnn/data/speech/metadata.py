"""The public lists that define the mixtures: a folder that is there, or a clone of the repository that publishes them."""

import csv
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ...common.errors import UserError
from ...common.files import atomic_folder


def provide_metadata(folder: str | Path, url: str | None = None) -> None:
    """Clone ``url`` into ``folder``, whole or not at all, unless the folder is there.

    Args:
        folder: where the lists are, or shall be.
        url: git repository; None: the folder must be there.

    Raises:
        UserError: if the folder is missing and cannot be cloned.
    """
    folder = Path(folder)
    if folder.exists():
        return
    if url is None:
        raise UserError(
            f"there is no metadata folder {folder} (key metadata_dir), and no metadata_url to clone it from"
        )
    if shutil.which("git") is None:
        raise UserError(f"there is no metadata folder {folder}, and git, which would clone {url}, is not installed")
    with atomic_folder(folder) as partial:
        command = ["git", "clone", "--quiet", "--depth", "1", "--", url, str(partial)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}, check=False
        )
        if done.returncode:
            message = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"cloning {url} failed ({message}); clone it by hand and give its folder as metadata_dir")


def read_rows(path: Path, wanted: Sequence[str]) -> list[dict[str, str]]:
    """Lines of a CSV by column.

    Raises:
        UserError: if it cannot be read as one, or lacks one of the columns ``wanted``.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in wanted if name not in (rows.fieldnames or [])]:
                raise UserError(
                    f"{path} is metadata of another version: it has no column {missing[0]!r}, but {rows.fieldnames}"
                )
            return list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no readable CSV: {error}") from None
