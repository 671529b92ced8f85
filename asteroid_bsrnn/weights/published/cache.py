"""Where published models lie once they were fetched: converted weights, and for each name which of them it is."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ...common.files import read_json, write_json
from ..catalogue import Entry

Manifest = dict[str, Any]


def cache_dir() -> Path:
    """Folder of what was fetched: environment variable ASTEROID_BSRNN_CACHE, else ~/.cache/asteroid_bsrnn."""
    return Path(os.environ.get("ASTEROID_BSRNN_CACHE") or Path.home() / ".cache" / "asteroid_bsrnn")


def converted(digest: str) -> Path:
    """Where the converted weights of a checkpoint lie, by the SHA-256 of the checkpoint (and of its settings)."""
    return cache_dir() / "checkpoints" / f"{digest}.safetensors"


def remembered(entry: Entry) -> Manifest | None:
    """What :func:`remember` wrote, when all of it is in the cache and the entry is as it was then; None otherwise."""
    path = _path(entry)
    if not path.exists():
        return None
    content = read_json(path)
    whole = all(converted(part["sha256"]).exists() for part in content["checkpoints"])
    return content if whole and content.get("entry", stamp(entry)) == stamp(entry) else None


def remember(entry: Entry, manifest: Manifest) -> Manifest:
    """Write down which weights an entry is."""
    manifest = {"name": entry.name, "entry": stamp(entry), **manifest}
    write_json(_path(entry), manifest)
    return manifest


def stamp(entry: Entry) -> str:
    """Changes when an entry means other weights than before."""
    what = (
        entry.address,
        entry.hub,
        entry.records,
        dict(entry.wanted),
        entry.checksum,
        entry.config_address,
        entry.settings,
    )
    return digest_of(what)


def digest_of(value: Any) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _path(entry: Entry) -> Path:
    return cache_dir() / "models" / f"{entry.name}.json"
