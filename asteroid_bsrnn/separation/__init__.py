"""Separation of recordings of any length by any model."""

from .ensemble import Separator
from .recordings import separate, separate_file

__all__ = ["Separator", "separate", "separate_file"]
