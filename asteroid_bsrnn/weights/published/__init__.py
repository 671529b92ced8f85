"""Published models by name: fetched from their public records, recognised by what is inside, converted once."""

from .collect import download, load_conf, manifest
from .entries import MODELS, Published, find, names

__all__ = ["MODELS", "Published", "download", "find", "load_conf", "manifest", "names"]
