"""Published models by name: fetched from where they are public, checked, converted once, kept in the cache."""

import sys
from typing import Any, Optional

import torch

from ...common.errors import UserError
from ...models.stems import StemSeparator
from ...models.system import SeparationSystem
from ..catalogue import Entry, entries, find, names
from ..open_file import as_module, open_file
from .cache import Manifest, converted, remember, remembered
from .from_address import from_address
from .from_records import from_records
from .in_package import packaged, packaged_file

__all__ = ["Entry", "download", "entries", "find", "load", "load_conf", "manifest", "names"]


def manifest(name: str) -> Manifest | None:
    """What :func:`download` returned, when the model is in the cache and complete; None otherwise."""
    entry = find(name)
    return packaged(entry) if entry.file else remembered(entry)


def download(name: str, api: str | None = None, progress: bool = True) -> Manifest:
    """Fetch a published model into the cache, unless it is there. Nothing in its files is executed.

    Args:
        name: see :func:`names`.
        api: base address of Zenodo's API, see :func:`asteroid_bsrnn.common.download.zenodo_record`.
        progress: show progress bars and where the model comes from.

    Returns:
        ``name, title, url, licence``, ``checkpoints`` (each with ``sources``, ``sha256``, ``file``, ``member``).

    Raises:
        UserError: unknown name, no public address, no network, wrong checksum, or files without such a model.
    """
    entry = find(name)
    if entry.file:
        return packaged(entry)
    known = remembered(entry)
    if known:
        return known
    if entry.members:
        raise UserError(f"{name} is made of several models: {', '.join(entry.members)}")
    if not entry.public:
        raise UserError(f"{name} has no public address{': ' + entry.note if entry.note else ''}")
    found = from_records(entry, api, progress) if entry.records else from_address(entry, progress)
    if progress:
        print(f"{name}: {found['title']}, {found['url']}; licence: {found['licence']}", file=sys.stderr)
    return remember(entry, found)


def load(name: str) -> torch.nn.Module:
    """A published model in evaluation mode; downloaded first when it is not in the cache."""
    entry = find(name)
    if entry.file:
        return as_module(open_file(packaged_file(entry)), name)
    if entry.members:
        mixer = load(entry.mixer) if entry.mixer else None
        members = [load(member) for member in entry.members]
        how = entry.less, entry.weights, mixer, entry.residual, entry.plans
        return SeparationSystem(members, entry.sources, *how).eval()
    parts = [
        as_module(open_file(path), path)
        for path in (converted(part["sha256"]) for part in download(name)["checkpoints"])
    ]
    return parts[0] if len(parts) == 1 else StemSeparator(parts, entry.sources).eval()


def load_conf(name: str) -> dict[str, Any]:
    """A published model as ``BaseModel.from_pretrained`` takes it.

    Returns:
        ``model_name``, ``model_args``, ``state_dict``, ``infos`` with where it comes from under ``card``.
    """
    model: Any = load(name)
    conf, entry = model.serialize(), find(name)
    found = {"name": name, "licence": entry.licence} if entry.members else download(name)
    conf["infos"]["card"] = {key: found[key] for key in ("name", "record", "title", "url", "licence") if key in found}
    return conf
