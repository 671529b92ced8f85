"""Published models by name, as the ``published.yml`` of each family lists them (docs/weights.md has its keys)."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..common.errors import UserError
from ..common.registry import nearest
from ..models.family import FAMILIES

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """A published model.

    Args:
        name: what users type.
        system: whose formats its file may have.
        model: class that it becomes; a bag has none.
        description: one line; without one, the note.
        address: where its file lies; others are tried in turn. A list in this list is one file in parts. ``#member``
            behind an archive's address names the file in it, which size and hash are of.
        file: name of a file that comes with the package, in ``weights/packaged``.
        hub: ``org/name[@revision]`` on the Hugging Face hub, where it has no address.
        records: Zenodo records to look into, in this order, where nobody wrote down which file is which.
        wanted: constructor arguments by which checkpoints in a record are recognised.
        joint: one checkpoint for all sources, or one for each.
        alike: sources whose checkpoints look alike; one that does not name its source could be either.
        size: in bytes.
        sha256, md5: of the file, where anybody states them.
        config_address: of the configuration file, where ``settings`` are not written down here.
        settings: in the original's words.
        sources: what it separates, as far as its publishers say.
        parameters: trainable ones, of all checkpoints together.
        data: what it was trained on.
        licence: as stated.
        scores: each with ``metric``, ``values`` and ``source``.
        inference: how a recording is separated for its scores: keywords of
            :func:`asteroid_bsrnn.separation.segments.make_plan`, and ``standardise``.
        preset: a word for people, which means this one until a better one is known: ``best``, ``fast``, ``vocals``.
        note: what else one should know.
        members: names of other entries, where it is a bag of them.
        weights: of a bag: a row for each member, a column for each source.
        less, residual, plans: of a system of several: see :class:`~asteroid_bsrnn.models.system.SeparationSystem`.
        mixer: name of the entry of its mixer.
    """

    name: str
    system: str
    model: str | None = None
    description: str | None = None
    address: tuple[tuple[str, ...], ...] = ()
    file: str | None = None
    hub: str | None = None
    records: tuple[int, ...] = ()
    wanted: Mapping[str, Any] = field(default_factory=dict)
    joint: bool = True
    alike: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    config_address: str | None = None
    settings: Mapping[str, Any] | None = None
    sources: tuple[str, ...] | None = None
    parameters: int | None = None
    data: str = "not stated"
    licence: str = "not stated"
    scores: tuple[Mapping[str, Any], ...] = ()
    inference: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    members: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] | None = None
    less: tuple[Sequence[str] | None, ...] | None = None
    mixer: str | None = None
    residual: Mapping[str, float] | None = None
    plans: tuple[Mapping[str, Any] | None, ...] | None = None
    preset: str | None = None

    @property
    def checksum(self) -> str | None:
        """``algorithm:digits``, or None where nobody states one."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}" if self.md5 else None

    @property
    def public(self) -> bool:
        """Whether it can be fetched."""
        return bool(self.file or self.address or self.hub or self.records or self.members)

    def fits(self, args: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with these constructor arguments is (a part of) this model."""
        given, whole = tuple(args["sources"]), set(self.sources or ())
        right_sources = set(given) == whole and not args.get("residual_source") if self.joint else len(given) == 1
        return right_sources and all(args.get(key) == value for key, value in self.wanted.items())


def entries() -> dict[str, Entry]:
    """All published models of all registered families, by name.

    Raises:
        UserError: for a file that cannot be understood, or a name that two families have.
    """
    found: dict[str, Entry] = {}
    for family in FAMILIES.values():
        if family.published is None:
            continue
        for entry in _read(family.published, family.published.stat().st_mtime_ns):
            if found.setdefault(entry.name, entry) is not entry:
                raise UserError(f"{family.published}: another family has a published model {entry.name!r}")
    return found


def names() -> list[str]:
    """Names of the published models."""
    return list(entries())


def presets() -> dict[str, Entry]:
    """The models that words for people mean, by word."""
    return {entry.preset: entry for entry in entries().values() if entry.preset}


def is_known(name: str) -> bool:
    """Whether it is the name of a published model, or a preset."""
    return name in entries() or name in presets()


def find(name: str) -> Entry:
    """The entry called ``name``, or that a preset means.

    Raises:
        UserError: for an unknown name, with the nearest known one.
    """
    known = entries() | presets()
    if name not in known:
        raise UserError(f"there is no published model {name!r}: {nearest(name, known)}known are {', '.join(known)}")
    return known[name]


@cache
def _read(path: Path, changed: int) -> tuple[Entry, ...]:
    """The entries in a file; ``changed`` is when it was written last."""
    content = yaml.load(path.read_bytes(), _Loader) or {}
    return tuple(_entry(path, name, values) for name, values in content.items())


def _entry(path: Path, name: str, values: Mapping[str, Any]) -> Entry:
    known = [entry.name for entry in dataclasses.fields(Entry)]
    given: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    unknown = next((key for key in given if key not in known), None)
    if unknown or "system" not in given:
        wrong = f"unknown key {unknown!r}: {nearest(unknown, known)}" if unknown else "it lacks 'system': "
        raise UserError(f"{path}: {name}: {wrong}known are {', '.join(known)}")
    address = given.pop("address", ())
    parts = (address,) if isinstance(address, str) else address
    given["address"] = tuple((part,) if isinstance(part, str) else tuple(part) for part in parts)
    if "weights" in given:
        given["weights"] = tuple(map(tuple, given["weights"]))
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Entry(name, **given)
