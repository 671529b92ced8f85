"""Weights of other implementations to ours, and the authors' BSRNN back; see :mod:`asteroid_bsrnn.weights.foreign`.

Which formats are read is said by the families of :mod:`asteroid_bsrnn.models`. Left out on purpose are re-implementations
with another network behind the same name (among them amanteur's BSRNN, whose norms, masks and band tables differ).
"""

from .models.bsrnn.adapter import from_reference, to_reference
from .weights.any_file import load_reference_checkpoint
from .weights.foreign import from_foreign

__all__ = ["from_foreign", "from_reference", "load_reference_checkpoint", "to_reference"]
