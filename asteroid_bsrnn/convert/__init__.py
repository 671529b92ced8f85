"""Checkpoints of other implementations to ours, and back."""
from .reference import from_reference, to_reference

__all__ = ["from_reference", "to_reference"]
