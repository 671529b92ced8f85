"""The networks of Table I once more, as textbook PyTorch line by line after their description: what ours are compared with.

Each shares the layers, and so the weights, of a network of ours, and calls them as PyTorch has them; what lies between the
layers (STFTs, attention, bands, reshaping, loops) is that of the original's code path. tests/test_originals.py holds them to
the golden outputs of the originals.
"""

from torch import nn

from .presunet import presunet
from .roformer import roformer
from .scnet import scnet
from .tfc_tdf import dttnet, kuielab, tfc_tdf_v3

PATHS = {
    "PResUNet": presunet,
    "BSRoFormer": roformer,
    "MelBandRoFormer": roformer,
    "TFCTDFv3": tfc_tdf_v3,
    "ConvTDFNet": kuielab,
    "DTTNet": dttnet,
    "SCNet": scnet,
}


class Original(nn.Module):
    """The original's code path for a network of ours, with its weights.

    Shape:
        (batch, channels, time) -> (batch, n_src, channels, time)
    """

    def __init__(self, net):
        super().__init__()
        self.net, self.path = net, PATHS[type(net).__name__]

    def forward(self, wav_BCL):
        return self.path(self.net, wav_BCL)
