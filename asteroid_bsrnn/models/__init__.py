"""Models: waveform in, waveforms out. Each is found by name here and through ``asteroid.models.get``."""
import asteroid.models

from ..registry import Registry
from .afrcnn import AFRCNN, SFRCNN
from .deep_clustering import DPCL, Chimera
from .dual_path import ADPRNNTasNet, SDPRNNTasNet
from .sandglasset import ASandglasset, Sandglasset
from .upit_blstm import UPITBLSTM
from .bsrnn import BSRNN
from .family import FAMILIES, Family
from .demucs import FAMILY as DEMUCS, Demucs, HDemucs, HTDemucs
from .presunet import FAMILY as PRESUNET, PResUNet
from .scnet import FAMILY as SCNET, SCNet
from .stem_separator import StemSeparator

_HOST_NAMES = ("ConvTasNet", "DPRNNTasNet", "DPTNet", "LSTMTasNet", "SuDORMRFNet", "SuDORMRFImprovedNet", "DeMask")


def _from_host(name):
    return next((getattr(asteroid.models, own) for own in _HOST_NAMES if own.lower() == name.lower()), None)


_REGISTRY = Registry("model", _from_host)
get = _REGISTRY.get


def register_model(cls):
    """Make ``cls`` known to :func:`get` and to Asteroid itself, by its class name. Twice is harmless.

    Raises:
        ValueError: if Asteroid or this package has another model of that name.
    """
    _REGISTRY.register(cls)
    known = getattr(asteroid.models, cls.__name__, None)
    if known is None:
        asteroid.models.register_model(cls)
    elif known is not cls:
        raise ValueError(f"Asteroid already has another model called {cls.__name__!r}")
    return cls


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
for _family in (PRESUNET, SCNET, DEMUCS):
    register_family(_family)
