"""What a public Zenodo record holds, from its records API: names, sizes, checksums, addresses and the licence."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .http import get_json

API = "https://zenodo.org/api"


def zenodo_record(record: int | str, api: str | None = None) -> dict[str, Any]:
    """Title, licence and files of a Zenodo record.

    Args:
        record: number of the record.
        api: base address; default: environment variable ASTEROID_BSRNN_ZENODO_API, else Zenodo's own.

    Both forms of the API's answer are read: ``files`` as a list (``key`` or ``filename``, ``checksum``, ``size`` or
    ``filesize``, ``links.self`` or ``links.download``), and ``files.entries`` (``links.content``), in the record or
    behind its link ``files``.

    Returns:
        ``record``, ``title``, ``licence`` (identifier, or ``"not stated"``), ``url``, ``files``: each with
        ``name``, ``size`` (bytes), ``checksum`` (``"md5:..."``) and ``url``, what :func:`fetch` takes.

    Raises:
        UserError: no network, no such record, or an answer that we cannot read.
    """
    api = (api or os.environ.get("ASTEROID_BSRNN_ZENODO_API") or API).rstrip("/")
    url = f"{api}/records/{record}"
    answer = get_json(url)
    try:
        entries = _entries(answer, url)
        return {
            "record": str(record),
            "title": answer.get("title") or answer.get("metadata", {}).get("title") or f"Zenodo record {record}",
            "licence": _licence(answer.get("metadata", {})),
            "url": answer.get("links", {}).get("self_html") or answer.get("links", {}).get("html") or url,
            "files": [_file(entry, url) for entry in entries],
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{url} answered in a form that is not known here: {type(error).__name__} {error}") from None


def _entries(answer: Any, url: str) -> list[Any]:
    """The list of file descriptions, wherever this version of the API keeps it."""
    files = answer.get("files")
    if isinstance(files, dict):
        files = files.get("entries")
    if files is None and "files" in answer.get("links", {}):
        files = get_json(answer["links"]["files"])["entries"]
    if isinstance(files, dict):
        files = [{"key": key, **entry} for key, entry in files.items()]
    if not files:
        raise UserError(f"{url} lists no files; is the record public?")
    return files


def _file(entry: Mapping[str, Any], url: str) -> dict[str, Any]:
    links = entry.get("links", {})
    name = entry.get("key") or entry["filename"]
    address = links.get("content") or links.get("download") or links.get("self")
    if not address:
        raise UserError(f"{url} gives no address for its file {name!r}")
    checksum = entry["checksum"]
    size = entry["size"] if "size" in entry else entry["filesize"]
    return {
        "name": name,
        "size": int(size),
        "checksum": checksum if ":" in checksum else f"md5:{checksum}",
        "url": address,
    }


def _licence(metadata: Mapping[str, Any]) -> str:
    """The licence in the record's own words."""
    licence = metadata.get("license") or metadata.get("rights")
    if isinstance(licence, list):
        licence = licence[0] if licence else None
    if isinstance(licence, dict):
        title = licence.get("title")
        licence = licence.get("id") or (title.get("en") if isinstance(title, dict) else title)
    return licence or "not stated"
