"""Band-Split RNN with every variant of the replication paper, and its authors' weights."""

from pathlib import Path

from ..family import Family
from .adapter import ReferenceBSRNN
from .network import BSRNN

FAMILY = Family(
    "bsrnn",
    models=(BSRNN,),
    adapters=(ReferenceBSRNN(),),
    published=Path(__file__).with_name("published.yml"),
    demo={"BSRNN": {"feature_dim": 24, "n_repeats": 2}},
)

__all__ = ["BSRNN", "FAMILY"]
