"""Speech separation on magnitude spectra: uPIT-BLSTM, deep clustering, Chimera."""

from ..family import Family
from .deep_clustering import DPCL, Chimera
from .upit_blstm import UPITBLSTM

FAMILY = Family("spectral", models=(UPITBLSTM, DPCL, Chimera))

__all__ = ["Chimera", "DPCL", "FAMILY", "UPITBLSTM"]
