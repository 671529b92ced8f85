"""The listening page: one folder that opens from disk, with no network."""

from .build import build_page

__all__ = ["build_page"]
