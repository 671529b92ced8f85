"""Losses that Asteroid lacks; ``get`` also knows Asteroid's own. A loss is ``loss(est_targets, targets)``."""

import asteroid.losses

from ..common.registry import Registry
from .time_tf import TimeTFLoss
from .clamped_si_snr import ClampedSISNR
from .clustering import ClusteringLoss
from .magnitude import WaveMagnitudeLoss
from .multi_resolution import MultiResolutionSTFTLoss
from .multi_stage import MultiStageLoss
from .neg_sisdr import PITNegSISDR
from .quantile import QuantileMSELoss
from .spectral_rms import SpectralRMSELoss
from .upit import PhaseSensitiveUPIT

_REGISTRY = Registry("loss", lambda name: getattr(asteroid.losses, name, None))
get, register_loss = _REGISTRY.get, _REGISTRY.register

OURS = (TimeTFLoss, MultiResolutionSTFTLoss, QuantileMSELoss, WaveMagnitudeLoss, SpectralRMSELoss, ClusteringLoss, PITNegSISDR,
        PhaseSensitiveUPIT, ClampedSISNR, MultiStageLoss)  # fmt: skip
for _loss in OURS:
    register_loss(_loss)
