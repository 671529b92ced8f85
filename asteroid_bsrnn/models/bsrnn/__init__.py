"""Band-Split RNN with every variant of the replication paper, and its authors' weights."""

from pathlib import Path

from ..family import Family
from .adapter import ReferenceBSRNN
from .causal import CausalBSRNN
from .network import BSRNN

FAMILY = Family(
    "bsrnn",
    models=(BSRNN, CausalBSRNN),
    adapters=(ReferenceBSRNN(),),
    published=Path(__file__).with_name("published.yml"),
    demo=dict.fromkeys(("BSRNN", "CausalBSRNN"), {"feature_dim": 24, "n_repeats": 2}),
)

__all__ = ["BSRNN", "CausalBSRNN", "FAMILY"]
