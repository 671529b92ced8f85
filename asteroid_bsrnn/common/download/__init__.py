"""Downloads that resume, are checked, and appear whole or not at all; safe archives."""

from .archive import is_archive, unpack
from .http import fetch, get_json
from .zenodo import zenodo_record

__all__ = ["fetch", "get_json", "is_archive", "unpack", "zenodo_record"]
