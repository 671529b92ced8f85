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
        of_sum_after: optimizer steps of training before it is. Validation always has it, so that its values can be compared.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``; of a tuple, its first entry
        - targets: likewise

    Raises:
        ValueError: for a weight or number of steps out of range, or shapes that do not agree.

    References
        [1] H. Liu, Q. Kong and J. Liu, "CWS-PResUNet: Music Source Separation with Channel-Wise Subband Phase-Aware
        ResUNet", MDX Workshop 2021, and its authors' code.
    """

    def __init__(
        self, wave: float = 0.85, n_fft: int = 2048, hop: int = 441, of_sum: bool = True, of_sum_after: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= wave <= 1:
            raise UserError(f"wave must lie between 0 and 1, got {wave}")
        if not isinstance(of_sum_after, int) or of_sum_after < 0:
            raise UserError(f"of_sum_after must be a number of steps, got {of_sum_after!r}")
        self.wave, self.n_fft, self.hop, self.of_sum, self.of_sum_after = wave, n_fft, hop, of_sum, of_sum_after
        self.steps_done = of_sum_after  # where nobody counts, the term is there

    def set_step(self, steps_done: int) -> None:
        """Tell how many optimizer steps were taken."""
        self.steps_done = steps_done

    def forward(self, est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
        estimates = waveforms_of(est_targets, targets)
        loss = targets.shape[1] * self.error(estimates, targets)  # all sources are equally long
        if not self.of_sum or (self.training and self.steps_done < self.of_sum_after):
            return loss
        return loss + self.error(estimates.sum(1), targets.sum(1))

    def error(self, estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean over everything; (..., time) each."""
        spectral = (self.magnitude(estimate) - self.magnitude(target)).abs().mean() / self.n_fft**0.5
        return self.wave * (estimate - target).abs().mean() + (1 - self.wave) * spectral

    def magnitude(self, wav: torch.Tensor) -> torch.Tensor:
        """Magnitude of the STFT, with a floor that keeps its gradient finite."""
        spectrum = centred_stft(wav, self.n_fft, self.hop)
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=1e-8).sqrt()
