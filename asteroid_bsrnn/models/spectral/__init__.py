"""Speech separation on magnitude spectra: uPIT-BLSTM, deep clustering, Chimera."""
from .deep_clustering import DPCL, Chimera
from .upit_blstm import UPITBLSTM

__all__ = ["Chimera", "DPCL", "UPITBLSTM"]
