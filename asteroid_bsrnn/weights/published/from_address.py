"""Models whose file has an address: fetched, checked, converted."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from ...common.download import checksum as checksums
from ...common.download import fetch, is_archive, unpack
from ...common.errors import UserError
from ..catalogue import Entry, entries
from ..hub import hub_file
from ..open_file import as_conf, open_file
from ..safetensors import save_safetensors
from ..settings_file import read_settings
from .cache import Manifest, cache_dir, converted, digest_of, remembered
from .contents import may_hold_weights


def from_address(entry: Entry, progress: bool = True) -> Manifest:
    """Fetch an entry's file, from the first of its addresses that gives it, and convert it.

    Returns:
        ``title, url, licence, checkpoints`` (one, with ``sources``, ``sha256``, ``file``, ``member``).

    Raises:
        UserError: no network, another size or checksum than stated, or weights that are not what was expected.
    """
    failures = []
    for parts in entry.address or ((),):
        try:
            with _file(entry, parts, progress) as path:
                return _converted(entry, path, parts, progress)
        except UserError as error:
            failures.append(str(error))
    raise UserError(f"{entry.name}: {'; '.join(failures)}")


def _converted(entry: Entry, path: Path, parts: tuple[str, ...], progress: bool) -> Manifest:
    document, settings = _settings(entry, progress)
    digest = checksums.of_file(path).partition(":")[2]
    conf = as_conf(open_file(path, document, entry.system, settings))
    sources = conf["model_args"].get("sources") or entry.sources
    key = digest_of([digest, document, settings])
    url = parts[0] if parts else f"https://huggingface.co/{entry.hub}"
    card: dict[str, Any] = {
        "name": entry.name,
        "licence": entry.licence,
        "data": entry.data,
        "converted_from": digest,
        "url": url,
    }
    if sources is not None:
        sources = list(sources)
        card["sources"] = sources
    save_safetensors(conf, converted(key), card)
    part = {"sources": sources or [], "sha256": key, "file": path.name, "member": path.name}
    return {"title": entry.description or entry.system, "url": url, "licence": entry.licence, "checkpoints": [part]}


def _settings(entry: Entry, progress: bool) -> tuple[dict | None, dict[str, Any] | None]:
    """(configuration file, settings): what the entry says itself; else what its configuration file does."""
    if entry.settings is not None:
        return None, {**({"sources": list(entry.sources)} if entry.sources else {}), **entry.settings}
    if entry.config_address is None:
        return None, None
    path = cache_dir() / "downloads" / f"{entry.name}-{_file_name(entry.config_address)}"
    try:
        return read_settings(fetch(entry.config_address, path, progress=progress)), None
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _file(entry: Entry, parts: tuple[str, ...], progress: bool) -> Iterator[Path]:
    """The weights file, checked. Downloads go once they were used; an archive stays while other models need it."""
    if not parts:
        yield hub_file(str(entry.hub))
        return
    addresses, member = [urldefrag(part).url for part in parts], unquote(urldefrag(parts[0]).fragment)
    folder = cache_dir() / "downloads" / digest_of(addresses)[:16]
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    checks = {"checksum": entry.checksum, "size": entry.size} if len(parts) == 1 and not member else {}
    path = _unpacked(
        _joined([_fetched(address, folder, checks, progress) for address in addresses]), folder / "unpacked", member
    )
    try:
        _check(entry, path)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    yield path
    shutil.rmtree(folder / "unpacked" if member and _is_needed(addresses, entry) else folder, ignore_errors=True)


def _fetched(address: str, folder: Path, checks: dict[str, Any], progress: bool) -> Path:
    path = folder / _file_name(address)
    return path if path.is_file() and not any(checks.values()) else fetch(address, path, progress=progress, **checks)


def _is_needed(addresses: list[str], entry: Entry) -> bool:
    """Whether another model that was not fetched yet lies in the same archive."""
    others = [other for other in entries().values() if other.name != entry.name and remembered(other) is None]
    return any([urldefrag(part).url for part in parts] == addresses for other in others for parts in other.address)


def _file_name(address: str) -> str:
    return re.sub(r"[^\w.=-]", "_", unquote(Path(urlsplit(address).path).name))[-80:] or "weights"


def _joined(files: list[Path]) -> Path:
    """One file of the parts of one."""
    if len(files) == 1:
        return files[0]
    path = files[0].with_name("joined-" + files[0].stem)
    with open(path, "wb") as out:
        for file in files:
            with open(file, "rb") as part:
                shutil.copyfileobj(part, out, 1 << 20)
    return path


def _unpacked(path: Path, folder: Path, member: str) -> Path:
    """The file itself, or of an archive the member that was named, or the only one that may hold weights."""
    if not is_archive(path):
        return path
    found = [file for file in unpack(path, folder) if may_hold_weights(file.name)]
    fitting = [file for file in found if not member or str(file.relative_to(folder)) == member or file.name == member]
    if len(fitting) != 1:
        there = ", ".join(str(file.relative_to(folder)) for file in found[:8]) or "no weights"
        raise UserError(f"{path.name} holds {there}, not one {member or 'file of weights'}")
    return fitting[0]


def _check(entry: Entry, path: Path) -> None:
    if entry.size not in (None, path.stat().st_size):
        raise UserError(f"{path.name} is refused: it has {path.stat().st_size} bytes, expected are {entry.size}")
    if entry.checksum and not checksums.matches(path, entry.checksum):
        found = checksums.of_file(path, checksums.parse(entry.checksum)[0])
        raise UserError(f"{path.name} is refused: its checksum is {found}, expected is {entry.checksum}")
