"""Models: waveform in, waveforms out. Each is found by name here and through ``asteroid.models.get``."""
from .afrcnn.network import AFRCNN, SFRCNN
from .spectral.deep_clustering import DPCL, Chimera
from .dual_path.dprnn import ADPRNNTasNet, SDPRNNTasNet
from .dual_path.sandglasset import ASandglasset, Sandglasset
from .spectral.upit_blstm import UPITBLSTM
from .bsrnn.network import BSRNN
from .family import FAMILIES, Family
from .names import get, register_model
from .stems import StemSeparator

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


# One line for each family: from .roformer import FAMILY as ROFORMER; then its name here.
for _family in ():
    register_family(_family)
