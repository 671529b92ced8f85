"""Models: waveform in, waveforms out. Each is found by name here and through ``asteroid.models.get``."""
from .afrcnn import AFRCNN, SFRCNN
from .bsrnn import BSRNN
from .dual_path import ADPRNNTasNet, ASandglasset, Sandglasset, SDPRNNTasNet
from .family import FAMILIES, Family
from .names import get, register_model
from .roformer import FAMILY as ROFORMER
from .roformer import BSRoFormer, MelBandRoFormer
from .spectral import DPCL, UPITBLSTM, Chimera
from .stems import StemSeparator
from .tfc_tdf import FAMILY as TFC_TDF
from .tfc_tdf import ConvTDFNet, DTTNet, Mixer, TFCTDFv3

for _model in (BSRNN, StemSeparator, AFRCNN, SFRCNN, ADPRNNTasNet, SDPRNNTasNet, Sandglasset, ASandglasset, UPITBLSTM, DPCL, Chimera):
    register_model(_model)


def register_family(family: Family) -> Family:
    """Make a family's models, adapters and published weights known. Twice is harmless.

    Raises:
        ValueError: if another family or model has its name.
    """
    for model in family.models:
        register_model(model)
    return FAMILIES.register(family)


for _family in (ROFORMER, TFC_TDF):
    register_family(_family)
