"""The training loss of SepReformer: SI-SNR of the estimates, and spectral SNR of those of every inner stage.

Legend: B batch, S estimate or target, L sample, F bin, T frame.

References
    [1] : "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech Separation", Shin et al., NeurIPS 2024.
"""

import math
from collections.abc import Sequence
from itertools import permutations

import torch
from torch import nn
from torch.nn import functional as F

from ..common.errors import UserError

FRAME, HOP = 512, 128  # samples of the spectra that inner stages are compared by


class MultiStageLoss(nn.Module):
    """Weighted sum of the loss of the last estimates and of the mean loss of inner stages [1], per source.

    The first is the negative SI-SNR in dB, cut off below ``floor_db`` for each source before the permutation is chosen,
    so that a source beyond it has no gradient any more. The second is the negative SNR of magnitude spectra, after the
    target was scaled to the estimate. Each stage has the permutation that is best for it. Waveforms alone, as in
    validation, have the first loss alone.

    Args:
        n_src: number of targets.
        floor_db: dB.
        auxiliary_weight: share of the inner stages, in [0, 1].
        constant_epochs: epochs with that share; then it decays:
        decay: by this factor at once, and again after every
        decay_every: epochs.

    Shape: ``loss(est_targets, targets)``: (batch, n_src, time), or the pair of that and a list of the same shape, and
    (batch, n_src, time) -> scalar.

    Raises:
        ValueError: for a share outside [0, 1], or shapes that do not agree.
    """

    def __init__(
        self,
        n_src: int = 2,
        floor_db: float = -30.0,
        auxiliary_weight: float = 0.4,
        constant_epochs: int = 100,
        decay: float = 0.8,
        decay_every: int = 5,
    ) -> None:
        super().__init__()
        if not 0 <= auxiliary_weight <= 1:
            raise UserError(f"auxiliary_weight must be in [0, 1], got {auxiliary_weight!r}")
        self.n_src, self.floor_db, self.auxiliary_weight = n_src, floor_db, auxiliary_weight
        self.constant_epochs, self.decay, self.decay_every = constant_epochs, decay, decay_every
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Set the share of the inner stages for an epoch, of which the first is 1."""
        late = epoch - self.constant_epochs - 1
        self.share = self.auxiliary_weight * (self.decay ** (1 + late // self.decay_every) if late >= 0 else 1.0)

    def forward(
        self, est_targets: torch.Tensor | tuple[torch.Tensor, Sequence[torch.Tensor]], targets: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast(targets.device.type, enabled=False):
            estimates, inner = est_targets if isinstance(est_targets, (tuple, list)) else (est_targets, [])
            loss = self.main(estimates, targets)
            if len(inner):
                stages = sum(self.inner(stage, targets) for stage in inner) / len(inner)
                loss = (1 - self.share) * loss + self.share * stages
            return loss / self.n_src

    def main(self, estimates: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Negative SI-SNR, dB, summed over sources, mean over items."""
        est, ref, scale = self._pairs(estimates, targets, 1e-8)
        scaled = scale.unsqueeze(-1) * ref
        ratio = scaled.norm(dim=-1) / ((est - scaled).norm(dim=-1) + 1e-8)
        return best_sum((-20 * torch.log10(1e-8 + ratio)).clamp(min=self.floor_db))

    def inner(self, estimates: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Negative SNR of magnitudes, dB, summed over sources, mean over items."""
        est, ref, scale = self._pairs(estimates, targets, 1e-12)
        power = scale.clamp(min=0.01).square()[..., None, None] * _power(ref)
        target, estimate = (power + 1e-10).sqrt(), (_power(est) + 1e-10).sqrt()
        ratio = _size(target) / (_size(estimate - target) + 1e-12)
        return best_sum(-20 * torch.log10(1e-12 + ratio))

    def _pairs(self, estimates: torch.Tensor, targets: torch.Tensor, eps: float) -> tuple[torch.Tensor, ...]:
        """Estimates (batch, S, 1, time), targets (batch, 1, S, time), and the scales (batch, S, S)."""
        if targets.ndim != 3 or targets.shape[1] != self.n_src or estimates.shape != targets.shape:
            raise ValueError(
                f"expected estimates and targets of shape (batch, {self.n_src}, time), "
                f"got {tuple(estimates.shape)} and {tuple(targets.shape)}"
            )
        est, ref = (wav.float() - wav.float().mean(-1, keepdim=True) for wav in (estimates, targets))
        scale = est @ ref.mT / (ref.square().sum(-1).unsqueeze(1) + eps)
        return est.unsqueeze(2), ref.unsqueeze(1), scale


def best_sum(pairwise_BSS: torch.Tensor) -> torch.Tensor:
    """Smallest sum over pairs of any assignment of estimates to targets, mean over items."""
    orders = permutations(range(pairwise_BSS.shape[1]))
    pairs = [torch.stack([pairwise_BSS[:, est, ref] for est, ref in enumerate(order)]) for order in orders]
    return torch.stack(pairs).sum(1).amin(0).mean()


def _power(wav: torch.Tensor) -> torch.Tensor:
    """Power spectra, not centred, zeros at the end to fill a hop. Shape: (..., time) -> (..., bins, frames)."""
    window = math.sqrt(2 / 3) * torch.hann_window(FRAME, dtype=wav.dtype, device=wav.device)
    length = max(FRAME, wav.shape[-1] + -wav.shape[-1] % HOP)
    flat = F.pad(wav, (0, length - wav.shape[-1])).flatten(0, -2)
    spectra = torch.stft(flat, FRAME, HOP, window=window, center=False, return_complex=True)
    spectra = spectra / (0.5 * math.sqrt(FRAME**2 / HOP))
    return (spectra.real.square() + spectra.imag.square()).unflatten(0, wav.shape[:-1])


def _size(magnitude: torch.Tensor) -> torch.Tensor:
    return magnitude.flatten(-2).norm(dim=-1)
