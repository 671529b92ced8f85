"""A-FRCNN and S-FRCNN."""
from .network import AFRCNN, SFRCNN

__all__ = ["AFRCNN", "SFRCNN"]
