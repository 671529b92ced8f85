"""Demucs: time-only, hybrid, and hybrid with transformers, by the package of their authors (extra ``demucs``)."""

from pathlib import Path

from ..family import Family
from .adapter import DemucsPackage, HDemucsPackage, HTDemucsPackage, TorchaudioHDemucs
from .adapter_v2 import DemucsV2
from .network import Demucs, HDemucs, HTDemucs

FAMILY = Family(
    "demucs",
    models=(Demucs, HDemucs, HTDemucs),
    adapters=(DemucsV2(), DemucsPackage(), HDemucsPackage(), HTDemucsPackage(), TorchaudioHDemucs()),
    published=Path(__file__).with_name("published.yml"),
    demo={
        "Demucs": {"channels": 8, "depth": 4, "norm_groups": 2},
        "HDemucs": {"channels": 8, "nfft": 1024, "depth": 5, "norm_groups": 2},
        "HTDemucs": {"channels": 8, "nfft": 1024, "depth": 3, "bottom_channels": 32, "t_layers": 1, "t_heads": 2},
    },
)
