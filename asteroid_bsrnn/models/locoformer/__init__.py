"""TF-Locoformer, sizes S, M, L."""

from pathlib import Path

from ..family import Family
from .adapter import TFLocoformerAdapter
from .network import TFLocoformer

_DEMO = {"n_blocks": 1, "emb_dim": 32, "attention_dim": 32, "ffn_hidden": [48, 48]}
FAMILY = Family(
    "locoformer",
    models=(TFLocoformer,),
    adapters=(TFLocoformerAdapter(),),
    published=Path(__file__).parent / "published.yml",
    demo={"TFLocoformer": _DEMO},
)
