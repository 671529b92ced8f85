"""Permutation-invariant negative SI-SNR between two limits, through the coherence: how TF-Locoformer was trained.

References
    [1] : "SDR - Medium Rare with Fast Computations", Scheibler, ICASSP 2022.
"""

import torch
from asteroid.losses import PITLossWrapper

from ..common.errors import UserError


class ClampedSISNR(PITLossWrapper):
    """Mean over sources of the negative SI-SNR, best permutation, each source between ``-clamp_db`` and ``clamp_db``.

    Computed from the coherence c of estimate and target as ``-10 log10(c / (1 - c))`` [1], in 64 bits, since ``1 - c``
    loses its digits in 32 bits from 40 dB on. The gradient of a source beyond a limit is zero.

    Args:
        n_src: number of targets.
        clamp_db: largest magnitude, dB.

    Shape: ``loss(est_targets, targets)``, both (batch, n_src, time) -> scalar.

    Examples
        >>> targets = torch.randn(3, 2, 800)
        >>> float(ClampedSISNR()(targets.flip(1), targets))
        -70.0
    """

    def __init__(self, n_src: int = 2, clamp_db: float = 70.0) -> None:
        super().__init__(self._pairwise, pit_from="pw_mtx")
        if not clamp_db > 0:
            raise UserError(f"clamp_db must be more than 0, got {clamp_db!r}")
        self.n_src, self.clamp_db = n_src, clamp_db

    def _pairwise(self, est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(batch, n_src, n_src): estimates along axis 1, targets along axis 2."""
        est, ref = (_unit(wav) for wav in (est_targets, targets))
        largest = 1 / (1 + 10 ** (-self.clamp_db / 10))
        coherence = (est @ ref.mT).square().clamp(1 - largest, largest)
        return -10 * torch.log10(coherence / (1 - coherence))

    def forward(self, est_targets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast(targets.device.type, enabled=False):
            return super().forward(est_targets, targets).to(targets.dtype)


def _unit(wav: torch.Tensor) -> torch.Tensor:
    """Waveforms without their mean, of norm 1, in 64 bits; silence stays silence."""
    centred = wav.double() - wav.double().mean(-1, keepdim=True)
    return centred / centred.square().sum(-1, keepdim=True).clamp(min=1e-24).sqrt()
