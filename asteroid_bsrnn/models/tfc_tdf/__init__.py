"""Time-frequency convolutions with linear layers over the bins: ConvTDFNet, DTTNet, TFC-TDF v3, and KUIELab's mixer."""

from pathlib import Path

from ..family import Family
from .adapter_v3 import TFCTDFv3Adapter
from .adapters import AuthorsDTTNet, KUIELabConvTDFNet, KUIELabMixer
from .conv_tdf_net import ConvTDFNet
from .dttnet import DTTNet
from .mixer import Mixer
from .tfc_tdf_v3 import TFCTDFv3

_SMALL = {"n_fft": 1024, "n_hop": 256, "dim_f": 256, "dim_t": 64}

FAMILY = Family(
    "tfc_tdf",
    models=(TFCTDFv3, ConvTDFNet, DTTNet, Mixer),
    adapters=(TFCTDFv3Adapter(), KUIELabConvTDFNet(), AuthorsDTTNet(), KUIELabMixer()),
    published=Path(__file__).with_name("published.yml"),
    demo={
        "TFCTDFv3": {**_SMALL, "n_scales": 2, "n_blocks": 1, "n_chan": 8, "growth": 4},
        "ConvTDFNet": {**_SMALL, "n_levels": 2, "n_convs": 1, "growth": 8},
        "DTTNet": {**_SMALL, "n_levels": 1, "n_convs": 1, "growth": 8, "n_repeats": 1, "n_heads": 1},
    },
)
