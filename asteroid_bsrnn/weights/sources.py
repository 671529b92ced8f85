"""Where a model comes from: a file, a folder, an address or a hub id becomes a local file."""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from asteroid.utils import hub_utils

from ..common.download import fetch
from ..common.errors import UserError
from ..models.family import adapters
from .catalogue import names
from .hub import hub_file

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin", "best_model.pth")  # of a published folder or an experiment
_SUFFIXES = (".pth", ".pt", ".th", ".ckpt", ".bin", ".safetensors", ".zip", ".onnx")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def local_file(source: str | os.PathLike) -> Path:
    """Path of the file that holds a model; fetched when it is not here yet.

    Args:
        source: a file, a folder with one of ``FOLDER_FILES``, an http(s) address (optionally with
            ``#sha256=...``), a name in Asteroid's own table, or a hub id ``org/name[@revision]``.

    Raises:
        UserError: if there is no such thing; a mistyped path is told from a hub id without asking the network.
    """
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        return _in_folder(path)
    source = os.fspath(source)
    if source in hub_utils.MODELS_URLS_HASHTABLE:
        return _cached_url(hub_utils.MODELS_URLS_HASHTABLE[source])
    hub_id = source.removeprefix(hub_utils.huggingface_hub.HUGGINGFACE_CO_URL_HOME).rstrip("/")
    if source.startswith(("http://", "https://")) and not (hub_id != source and _HUB_ID.fullmatch(hub_id)):
        return _cached_url(source)
    if hub_id == source:
        _refuse_mistyped_path(source)
    if not _HUB_ID.fullmatch(hub_id):
        raise UserError(f"{source!r} is neither a file here, nor an address, nor a hub id org/name[@revision]")
    return hub_file(hub_id)


def _in_folder(folder: Path) -> Path:
    found = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if found is None:
        raise UserError(f"the folder {folder} holds no model: expected is one of {', '.join(FOLDER_FILES)}")
    return found


def _refuse_mistyped_path(source: str) -> None:
    """Raise for what can only be meant as a path or a name, so that nobody waits for the network to say so."""
    path = Path(source)
    parent = path.parent if str(path.parent) != "." or source.startswith(".") else None
    beside = parent is not None and parent.is_dir() and not source.startswith(("~", "."))
    if source.count("/") == 1 and "\\" not in source and not beside and not source.startswith(("/", "~", ".")):
        if path.suffix.lower() not in _SUFFIXES:
            return
    folder = parent or Path(".")
    here = (
        [entry.name for entry in folder.iterdir()] if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) else []
    )
    near = get_close_matches(path.name, here + ([] if parent else names()), n=1, cutoff=0.6)
    hint = f"; did you mean {str(folder / near[0]) if near[0] in here else near[0]!r}?" if near else ""
    named = "" if parent else f" or model of this name (known are {', '.join(names())})"
    forced = f"; for a hub id write https://huggingface.co/{source}" if beside and source.count("/") == 1 else ""
    raise UserError(f"there is no file {source!r}{named}{hint}{forced}")


def _cached_url(url: str) -> Path:
    """The file behind an address, in the host's cache."""
    address, fragment = urldefrag(url)
    checksum = fragment.replace("=", ":", 1) if fragment else None
    suffix = Path(urlsplit(address).path).suffix.lower()
    named = any(suffix in adapter.suffixes for adapter in adapters())  # formats that are known by their suffix keep it
    path = Path(hub_utils.get_cache_dir()) / hub_utils.url_to_filename(address) / f"model{suffix if named else '.pth'}"
    return path if path.is_file() and checksum is None else fetch(address, path, checksum=checksum)
