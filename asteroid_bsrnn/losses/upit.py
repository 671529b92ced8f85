"""Utterance-level permutation-invariant loss of mask networks, with phase-sensitive targets.

Legend: B batch, S source, F bin, T frame.

References
    [1] : "Multi-talker Speech Separation with Utterance-level Permutation Invariant Training of Deep Recurrent
    Neural Networks", Kolbaek et al., TASLP 2017.
"""

from typing import Any

import torch
from asteroid.losses import PITLossWrapper

from ..common.precision import full_precision, widened


def phase_sensitive_targets(mixture_BFT: torch.Tensor, sources_BSFT: torch.Tensor) -> torch.Tensor:
    """Magnitude of each source projected on the mixture's phase, not below zero: |X| max(0, cos(y - x)) of [1].

    Args:
        mixture_BFT: complex spectra of the mixtures.
        sources_BSFT: complex spectra of the sources.

    Returns:
        (B, S, F, T), real.
    """
    mixture = mixture_BFT.unsqueeze(1)
    projected = (sources_BSFT * mixture.conj()).real / mixture.abs().clamp(min=1e-8)
    return projected.clamp(min=0)


def pairwise_masked_mse(
    est_targets: torch.Tensor, targets: torch.Tensor, n_frames: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared difference of every estimate and every target over bins and valid frames.

    Args:
        est_targets, targets: (B, S, F, T).
        n_frames: (B,) valid frames of each example, all if None.

    Returns:
        (B, S, S), estimates along axis 1 and targets along axis 2, as Asteroid's pairwise losses.
    """
    n_bins, length = targets.shape[-2:]
    if n_frames is None:
        n_frames = torch.full((len(targets),), length, device=targets.device)
    valid = torch.arange(length, device=targets.device) < n_frames.unsqueeze(1)
    squares = (est_targets.unsqueeze(2) - targets.unsqueeze(1)).square().sum(-2)
    total = squares.masked_fill(~valid[:, None, None], 0.0).sum(-1)
    return total / (n_bins * n_frames).clamp(min=1)[:, None, None]


class PhaseSensitiveUPIT(PITLossWrapper):
    """Mean squared error between estimated and phase-sensitive target magnitudes, best permutation per utterance.

    Shape: ``loss(est_targets, targets, n_frames=None)``: (B, S, F, T) twice and (B,) -> scalar. The first are masks
    times mixture magnitude, the second come from :func:`phase_sensitive_targets`; frames past ``n_frames`` do not
    count.
    """

    def __init__(self) -> None:
        super().__init__(pairwise_masked_mse, pit_from="pw_mtx")

    def forward(
        self,
        est_targets: torch.Tensor,
        targets: torch.Tensor,
        return_est: bool = False,
        **keywords: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The loss, outside autocast: in 16 bits the sums over a long utterance overflow."""
        with full_precision(targets.device):
            return super().forward(widened(est_targets), widened(targets), return_est=return_est, **keywords)
