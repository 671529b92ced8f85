"""Models whose weights come with the package: nothing is fetched, and nothing is written into the cache."""

from pathlib import Path

from ...common.download import checksum as checksums
from ...common.errors import UserError
from ..catalogue import Entry
from .cache import Manifest

FOLDER = Path(__file__).parents[1] / "packaged"


def packaged_file(entry: Entry) -> Path:
    """The weights of an entry.

    Raises:
        UserError: if the installed package lacks them or holds others.
    """
    path = FOLDER / str(entry.file)
    if not path.is_file():
        raise UserError(f"{entry.name}: this installation lacks {path}; install the package again")
    if entry.checksum and not checksums.matches(path, entry.checksum):
        raise UserError(f"{entry.name}: {path} is not the file that the package came with; install it again")
    return path


def packaged(entry: Entry) -> Manifest:
    """What :func:`.download` returns of such an entry."""
    path = packaged_file(entry)
    part = {"sources": list(entry.sources or ()), "sha256": entry.sha256, "file": path.name, "member": path.name}
    return {"name": entry.name, "title": entry.description or entry.system, "url": f"the package ({path.name})",
            "licence": entry.licence, "checkpoints": [part]}  # fmt: skip
