"""Models: waveform in, waveforms out. Each is found by name here and through ``asteroid.models.get``."""
from .afrcnn import FAMILY as _AFRCNN
from .afrcnn import AFRCNN, SFRCNN
from .bsrnn import FAMILY as _BSRNN
from .bsrnn import BSRNN
from .demucs import FAMILY as _DEMUCS
from .demucs import Demucs, HDemucs, HTDemucs
from .dual_path import FAMILY as _DUAL_PATH
from .dual_path import ADPRNNTasNet, ASandglasset, Sandglasset, SDPRNNTasNet
from .family import FAMILIES, Family
from .host import FAMILY as _HOST
from .locoformer import FAMILY as _LOCOFORMER
from .locoformer import TFLocoformer
from .names import get, register_model
from .presunet import FAMILY as _PRESUNET
from .presunet import PResUNet
from .roformer import FAMILY as _ROFORMER
from .roformer import BSRoFormer, MelBandRoFormer
from .scnet import FAMILY as _SCNET
from .scnet import SCNet
from .sepreformer import FAMILY as _SEPREFORMER
from .sepreformer import SepReformer
from .spectral import FAMILY as _SPECTRAL
from .spectral import DPCL, UPITBLSTM, Chimera
from .stems import StemSeparator
from .tfc_tdf import FAMILY as _TFC_TDF
from .tfc_tdf import ConvTDFNet, DTTNet, Mixer, TFCTDFv3

register_model(StemSeparator)


def register_family(family: Family) -> Family:
    """Make a family's models, adapters and published weights known. Twice is harmless.

    Raises:
        ValueError: if another family or model has its name.
    """
    for model in family.models:
        register_model(model)
    return FAMILIES.register(family)


_FAMILIES = (_BSRNN, _AFRCNN, _DUAL_PATH, _SPECTRAL, _ROFORMER, _TFC_TDF, _PRESUNET, _SCNET, _DEMUCS, _SEPREFORMER)
for _family in (*_FAMILIES, _LOCOFORMER, _HOST):
    register_family(_family)
