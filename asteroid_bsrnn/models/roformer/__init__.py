"""RoFormers: bands of the spectrum, attention with rotary positions over time and over bands, complex masks."""

from pathlib import Path

from ..family import Family
from .adapter import BSRoFormerWeights, MelBandRoFormerWeights
from .network import BSRoFormer, MelBandRoFormer

_SMALL = {"feature_dim": 16, "n_repeats": 1, "n_heads": 2, "dim_head": 8, "mask_ratio": 1}

FAMILY = Family(
    "roformer",
    models=(BSRoFormer, MelBandRoFormer),
    adapters=(BSRoFormerWeights(), MelBandRoFormerWeights()),
    published=Path(__file__).parent / "published.yml",
    demo={
        "BSRoFormer": {**_SMALL, "bands": [41] * 25},
        "MelBandRoFormer": {**_SMALL, "n_bands": 25},
    },
)
