"""Checkpoints of other implementations to ours, and back.

Read are those of the authors of the replication paper (BSRNN, SIMO-BSRNN, oBSRNN, BSCNN), in both key styles. Left
out on purpose are re-implementations with another network behind the same name (among them amanteur's BSRNN, whose
norms, masks and band tables differ): their weights would not give their function here.
"""
from .checkpoint import load_reference_checkpoint
from ..models.bsrnn.adapter import from_reference, to_reference

__all__ = ["from_reference", "load_reference_checkpoint", "to_reference"]
