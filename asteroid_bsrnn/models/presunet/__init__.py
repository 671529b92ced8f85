"""CWS-PResUNet: sub-bands, residual units, phases (Liu et al., 2021)."""

from pathlib import Path

from ..family import Family
from .adapter import AuthorsPResUNet
from .network import PResUNet

FAMILY = Family(
    "presunet",
    models=(PResUNet,),
    adapters=(AuthorsPResUNet(),),
    published=Path(__file__).with_name("published.yml"),
    demo={"PResUNet": {"n_units": 1, "n_head_units": 1, "widths": [4, 8, 12, 16, 16]}},
)
