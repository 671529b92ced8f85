"""A-FRCNN and S-FRCNN."""

from ..family import Family
from .adapter import AFRCNNAdapter
from .network import AFRCNN, SFRCNN

_DEMO = {"n_filters": 128, "bn_chan": 64, "hid_chan": 64, "n_scales": 4, "num_iters": 1}
FAMILY = Family("afrcnn", models=(AFRCNN, SFRCNN), adapters=(AFRCNNAdapter(),), demo={"AFRCNN": _DEMO, "SFRCNN": _DEMO})

__all__ = ["AFRCNN", "FAMILY", "SFRCNN"]
