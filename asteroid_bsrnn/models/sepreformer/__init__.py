"""SepReformer, sizes T, S, B, M, L."""

from pathlib import Path

from ..family import Family
from .adapter import SepReformerAdapter
from .network import SepReformer

_DEMO = {"n_filters": 64, "bn_chan": 32, "n_stages": 2}
FAMILY = Family(
    "sepreformer",
    models=(SepReformer,),
    adapters=(SepReformerAdapter(),),
    published=Path(__file__).parent / "published.yml",
    demo={"SepReformer": _DEMO},
)
