"""A Fourier transform of short delay: long windows to analyse, short ones to put together.

Letters of shapes: L sample, W sample of a window, F bin, T frame.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..common.errors import UserError


class LowDelaySTFT(nn.Module):
    """STFT whose inverse needs the last two hops of a frame only, however long its window is.

    Frame t ends with sample ``(t + 1) * n_hop - 1``; what lies before the first sample is silence. The analysis window
    rises over ``n_fft - n_hop`` samples and falls over the last ``n_hop``; the synthesis window is not zero on the last
    ``2 * n_hop`` samples, on which the product of both is a Hann window [1]. So a sample of block m (of ``n_hop``
    samples) is made of frames m and m + 1: it looks ahead at most to the end of the next block.

    Args:
        n_fft: window in samples, even.
        n_hop: hop in samples, at most half the window.

    References
        [1] Mauler and Martin, "A Low Delay, Variable Resolution, Perfect Reconstruction Spectral Analysis-Synthesis
        System for Speech Enhancement", EUSIPCO 2007.
    """

    window: torch.Tensor
    synthesis: torch.Tensor

    def __init__(self, n_fft: int = 2048, n_hop: int = 512) -> None:
        super().__init__()
        if n_fft < 4 or n_fft % 2:
            raise UserError(f"n_fft must be an even number of at least 4, got {n_fft}")
        if not 1 <= n_hop <= n_fft // 2:
            raise UserError(f"n_hop must lie between 1 and n_fft / 2 = {n_fft // 2}, got {n_hop}")
        self.n_fft, self.n_hop = n_fft, n_hop
        rise = torch.hann_window(2 * (n_fft - n_hop), dtype=torch.float64).sqrt()[: n_fft - n_hop]
        fall = torch.hann_window(2 * n_hop, dtype=torch.float64).sqrt()[n_hop:]
        window = torch.cat([rise, fall])
        product = torch.hann_window(2 * n_hop, dtype=torch.float64)
        synthesis = product / window[-2 * n_hop :].clamp(min=1e-12)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("synthesis", synthesis.float(), persistent=False)

    def n_frames(self, length: int) -> int:
        """Frames that make ``length`` samples."""
        return -(-length // self.n_hop) + 1

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Waveform to spectrum.

        Shape:
            (..., time), real -> (..., n_fft // 2 + 1, n_frames(time)), complex
        """
        length = wav.shape[-1]
        behind = self.n_frames(length) * self.n_hop - length
        return self.analyse(F.pad(wav.to(self.window.dtype), (self.n_fft - self.n_hop, behind)))

    def analyse(self, wav: torch.Tensor) -> torch.Tensor:
        """Whole frames of a waveform that begins ``n_fft - n_hop`` samples before the first of them ends its history.

        Shape:
            (..., n_fft - n_hop + frames * n_hop), real -> (..., n_fft // 2 + 1, frames), complex
        """
        return torch.fft.rfft(wav.unfold(-1, self.n_fft, self.n_hop) * self.window).transpose(-1, -2)

    def inverse(self, spec: torch.Tensor, length: int) -> torch.Tensor:
        """Spectrum to waveform of ``length`` samples.

        Shape:
            (..., n_fft // 2 + 1, frames), complex -> (..., length), real
        """
        halves = self.synthesise(spec)
        return (halves[..., :-1, 1, :] + halves[..., 1:, 0, :]).flatten(-2)[..., :length]

    def synthesise(self, spec: torch.Tensor) -> torch.Tensor:
        """What each frame adds to the block before its last and to its last.

        Shape:
            (..., n_fft // 2 + 1, frames), complex -> (..., frames, 2, n_hop), real
        """
        frames = torch.fft.irfft(spec.transpose(-1, -2), self.n_fft)[..., -2 * self.n_hop :] * self.synthesis
        return frames.unflatten(-1, (2, self.n_hop))

    def extra_repr(self) -> str:
        return f"n_fft={self.n_fft}, n_hop={self.n_hop}"
