"""Loss of the RoFormers: error of the waveform plus errors of complex spectra at several resolutions."""

from collections.abc import Sequence

import torch
from torch import nn

from ..common.errors import UserError
from .signals import centred_stft, waveforms_of

WINDOWS = (4096, 2048, 1024, 512, 256)


class MultiResolutionSTFTLoss(nn.Module):
    """Mean absolute error of the waveform plus, for each window, that of the complex STFT [1]_.

    An error of a complex number is its modulus; means are over all elements. The STFTs are centred and not normalised,
    in float32, so that they decide the training: for white noise they weigh 120 times the waveform. A window that is
    shorter than ``n_fft`` is filled up with zeros on both sides, as in the public implementation.

    Args:
        windows: lengths of the Hann windows, samples.
        hop: of all of them, samples.
        weight: of the sum of the spectral terms; the waveform has 1.
        n_fft: least size of a transform, samples.

    Shape:
        - est_targets: waveforms ``(batch, n_src, channels, time)``; of a tuple, its first entry
        - targets: likewise

    Raises:
        ValueError: a window or hop below 1 sample, a negative weight, or shapes that do not agree.

    References
        [1] W.-T. Lu, J.-C. Wang, Q. Kong and Y.-N. Hung, "Music Source Separation with Band-Split RoPE Transformer",
        ICASSP 2024.
    """

    def __init__(
        self, windows: Sequence[int] = WINDOWS, hop: int = 147, weight: float = 1.0, n_fft: int = 2048
    ) -> None:
        super().__init__()
        if not isinstance(windows, (list, tuple)) or not windows or min(windows) < 1:
            raise UserError(f"windows must be a list of whole numbers of at least 1, got {windows!r}")
        if hop < 1 or n_fft < 2 or weight < 0:
            raise UserError(f"hop must be at least 1, n_fft 2 and weight 0, got {hop}, {n_fft} and {weight}")
        self.windows, self.hop, self.weight, self.n_fft = tuple(windows), hop, weight, n_fft

    def forward(self, est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
        error = waveforms_of(est_targets, targets) - targets
        return error.abs().mean() + self.weight * sum(
            self.spectrum(error, window).abs().mean() for window in self.windows
        )

    def spectrum(self, wav: torch.Tensor, window: int) -> torch.Tensor:
        """Complex STFT over the last axis; of an error, it is the error of the STFT, which is linear.

        Shape:
            (..., time) -> (items, bins, frames)
        """
        return centred_stft(wav, max(window, self.n_fft), self.hop, window)
