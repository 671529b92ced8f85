"""Models: waveform in, waveforms out. Each is found by name here and through ``asteroid.models.get``."""

from . import (
    afrcnn,
    bsrnn,
    demucs,
    dual_path,
    host,
    locoformer,
    presunet,
    roformer,
    scnet,
    sepreformer,
    spectral,
    tfc_tdf,
)
from .afrcnn.network import AFRCNN, SFRCNN
from .bsrnn.causal import CausalBSRNN
from .bsrnn.network import BSRNN
from .demucs import Demucs, HDemucs, HTDemucs
from .dual_path.dprnn import ADPRNNTasNet, SDPRNNTasNet
from .dual_path.sandglasset import ASandglasset, Sandglasset
from .family import FAMILIES, Family
from .locoformer import TFLocoformer
from .names import get, register_model
from .presunet import PResUNet
from .roformer import BSRoFormer, MelBandRoFormer
from .scnet import SCNet
from .sepreformer import SepReformer
from .spectral.deep_clustering import DPCL, Chimera
from .spectral.upit_blstm import UPITBLSTM
from .stems import StemSeparator
from .system import SeparationSystem
from .tfc_tdf import ConvTDFNet, DTTNet, Mixer, TFCTDFv3


def register_family(family: Family) -> Family:
    """Make a family's models, adapters and published weights known. Twice is harmless.

    Raises:
        ValueError: if another family or model has its name.
    """
    for model in family.models:
        register_model(model)
    return FAMILIES.register(family)


register_model(StemSeparator)
register_model(SeparationSystem)
# One line for each family: its folder among the imports above, and here.
_FOLDERS = (
    bsrnn,
    afrcnn,
    dual_path,
    spectral,
    roformer,
    tfc_tdf,
    demucs,
    presunet,
    scnet,
    sepreformer,
    locoformer,
    host,
)
for _folder in _FOLDERS:
    register_family(_folder.FAMILY)
