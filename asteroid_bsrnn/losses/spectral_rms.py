"""Loss of SCNet: root mean square error of the complex spectrum."""

from typing import Any

import torch
from torch import nn


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
        estimates = est_targets[0] if isinstance(est_targets, (tuple, list)) else est_targets
        if estimates.shape != targets.shape:
            raise ValueError(f"estimates {tuple(estimates.shape)} and targets {tuple(targets.shape)} differ in shape")
        error = (estimates.to(targets.dtype) - targets).flatten(0, 1)
        spectrum = self.spectrum(error.flatten(0, 1)).unflatten(0, error.shape[:2])
        power = spectrum.real.square() + spectrum.imag.square()
        return power.flatten(1).mean(1).clamp(min=1e-16).sqrt().mean()

    def spectrum(self, wav: torch.Tensor) -> torch.Tensor:
        """(items, time) -> (items, bins, frames), complex; of an error, it is the error of the STFT."""
        mode = "reflect" if wav.shape[-1] > self.n_fft // 2 else "constant"  # a reflection needs that many samples
        with torch.autocast(wav.device.type, enabled=False):
            window = torch.ones(self.n_fft, dtype=wav.dtype, device=wav.device)
            settings: dict[str, Any] = {"window": window, "normalized": True, "pad_mode": mode, "return_complex": True}
            return torch.stft(wav, self.n_fft, self.hop, **settings)
