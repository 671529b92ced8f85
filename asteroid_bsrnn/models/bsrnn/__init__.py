"""Band-Split RNN with every variant of the replication paper, and its authors' weights."""
from ..family import Family
from .network import BSRNN

FAMILY = Family("bsrnn", models=(BSRNN,), demo={"BSRNN": {"feature_dim": 24, "n_repeats": 2}})

__all__ = ["BSRNN", "FAMILY"]
