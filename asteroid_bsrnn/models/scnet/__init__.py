"""SCNet: sparse compression of the spectrum, dual-path recurrent layers (Tong et al., 2024)."""

from pathlib import Path

from ..family import Family
from .adapter import AuthorsSCNet, ForkSCNet
from .network import SCNet

FAMILY = Family(
    "scnet",
    models=(SCNet,),
    adapters=(ForkSCNet(), AuthorsSCNet()),
    published=Path(__file__).with_name("published.yml"),
    demo={"SCNet": {"dims": [4, 8, 12, 16], "nfft": 1024, "hop_size": 256, "num_dplayer": 2}},
)
