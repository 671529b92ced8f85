"""Loss of SCNet: root mean square error of the complex spectrum."""

import torch
from torch import nn

from .signals import centred_stft, waveforms_of


class SpectralRMSELoss(nn.Module):
    """Mean over items and sources of the root of the mean squared complex STFT error [1]_.

    The STFT is centred, has a rectangular window and is divided by the root of ``n_fft``, as the network's own.

    Args:
        n_fft, hop: in samples.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``; of a tuple, its first entry
        - targets: likewise

    Raises:
        ValueError: if the shapes do not agree.

    References
        [1] W. Tong et al., "SCNet: Sparse Compression Network for Music Source Separation", ICASSP 2024, and its authors'
        code.
    """

    def __init__(self, n_fft: int = 4096, hop: int = 1024) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop

    def forward(self, est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
        error = (waveforms_of(est_targets, targets) - targets).flatten(0, 1)
        spectrum = self.spectrum(error.flatten(0, 1)).unflatten(0, error.shape[:2])
        power = spectrum.real.square() + spectrum.imag.square()
        return power.flatten(1).mean(1).clamp(min=1e-16).sqrt().mean()

    def spectrum(self, wav: torch.Tensor) -> torch.Tensor:
        """(items, time) -> (items, bins, frames), complex; of an error, it is the error of the STFT."""
        return centred_stft(wav, self.n_fft, self.hop, window=torch.ones, normalized=True)
