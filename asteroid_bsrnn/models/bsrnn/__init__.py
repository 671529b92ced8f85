"""Band-Split RNN with every variant of the replication paper, and its authors' weights."""
from .network import BSRNN

__all__ = ["BSRNN"]
