"""Loss of the joint CWS-PResUNet: error of the waveform and of the magnitude of its spectrum."""

import torch
from torch import nn

from ..common.errors import UserError
from .signals import centred_stft, waveforms_of


class WaveMagnitudeLoss(nn.Module):
    """Sum over sources of ``wave`` times the mean absolute error of the waveform plus ``1 - wave`` times that of the STFT's
    magnitude, the latter divided by the root of ``n_fft`` [1]_.

    Args:
        wave: weight of the waveform, between 0 and 1.
        n_fft, hop: STFT with a Hann window, centred, in samples.
        of_sum: whether the same loss of the sum of all sources is added.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``; of a tuple, its first entry
        - targets: likewise

    Raises:
        ValueError: for a weight out of range, or shapes that do not agree.

    References
        [1] H. Liu, Q. Kong and J. Liu, "CWS-PResUNet: Music Source Separation with Channel-Wise Subband Phase-Aware
        ResUNet", MDX Workshop 2021, and its authors' code.
    """

    def __init__(self, wave: float = 0.85, n_fft: int = 2048, hop: int = 441, of_sum: bool = True) -> None:
        super().__init__()
        if not 0 <= wave <= 1:
            raise UserError(f"wave must lie between 0 and 1, got {wave}")
        self.wave, self.n_fft, self.hop, self.of_sum = wave, n_fft, hop, of_sum

    def forward(self, est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
        estimates = waveforms_of(est_targets, targets)
        loss = targets.shape[1] * self.error(estimates, targets)  # all sources are equally long
        return loss + self.error(estimates.sum(1), targets.sum(1)) if self.of_sum else loss

    def error(self, estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over everything; (..., time) each."""
        spectral = (self.magnitude(estimate) - self.magnitude(target)).abs().mean() / self.n_fft**0.5
        return self.wave * (estimate - target).abs().mean() + (1 - self.wave) * spectral

    def magnitude(self, wav: torch.Tensor) -> torch.Tensor:
        """Magnitude of the STFT, with a floor that keeps its gradient finite."""
        spectrum = centred_stft(wav, self.n_fft, self.hop)
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=1e-8).sqrt()
