"""Losses that Asteroid lacks; ``get`` also knows Asteroid's own. A loss is ``loss(est_targets, targets)``."""
import asteroid.losses

from ..common.registry import Registry
from .time_tf import TimeTFLoss
from .clamped_si_snr import ClampedSISNR
from .clustering import ClusteringLoss
from .multi_resolution import MultiResolutionSTFTLoss
from .multi_stage import MultiStageLoss
from .neg_sisdr import PITNegSISDR
from .quantile import QuantileMSELoss
from .upit import PhaseSensitiveUPIT

_REGISTRY = Registry("loss", lambda name: getattr(asteroid.losses, name, None))
get, register_loss = _REGISTRY.get, _REGISTRY.register

OURS = (TimeTFLoss, MultiResolutionSTFTLoss, QuantileMSELoss, ClusteringLoss, PITNegSISDR, PhaseSensitiveUPIT, ClampedSISNR, MultiStageLoss)
for _loss in OURS:
    register_loss(_loss)
