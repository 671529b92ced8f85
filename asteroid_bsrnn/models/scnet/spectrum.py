"""Spectra of SCNet: complex numbers as channels, an even number of frames, single precision under autocast too."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...dsp.inverse_stft import istft


class Spectrum(nn.Module):
    """STFT and its inverse for signals of any length.

    Signals are lengthened with silence by one to two hops and more where the window needs it, so that the number of
    frames is even. The window is rectangular, as published, or Hann (the masked variant).

    Args:
        nfft: STFT window in samples.
        hop_size: STFT hop in samples.
        win_size: part of the window that is not zero, in samples.
        normalized: whether spectra are divided by the root of ``nfft``.
        hann: Hann window instead of a rectangular one.
    """

    window: torch.Tensor

    def __init__(self, nfft: int, hop_size: int, win_size: int, normalized: bool, hann: bool) -> None:
        super().__init__()
        self.nfft, self.hop_size = nfft, hop_size
        self.options: dict[str, Any] = {
            "n_fft": nfft,
            "hop_length": hop_size,
            "win_length": win_size,
            "normalized": normalized,
        }
        self.register_buffer("window", torch.hann_window(win_size) if hann else torch.ones(win_size), persistent=False)

    def padded_length(self, length: int) -> int:
        """Samples that are transformed: more than ``length``, an odd number of hops, long enough to be reflected."""
        n_hops = length // self.hop_size + 1
        while n_hops % 2 == 0 or n_hops * self.hop_size <= self.nfft // 2:
            n_hops += 1
        return n_hops * self.hop_size

    def forward(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, channels, time) -> (batch, 2 channels, bins, frames), real and imaginary parts in turn
        """
        batch, n_chan, length = wav_BCL.shape
        wav = F.pad(wav_BCL.float(), (0, self.padded_length(length) - length)).flatten(0, 1)
        spec = torch.stft(wav, window=self.window, return_complex=True, **self.options)
        parts = torch.view_as_real(spec).unflatten(0, (batch, n_chan))
        return parts.permute(0, 1, 4, 2, 3).flatten(1, 2)

    def inverse(self, parts_BPFT: torch.Tensor, length: int) -> torch.Tensor:
        """
        Shape:
            (batch, 2 n, bins, frames) -> (batch, n, length)
        """
        spec = as_complex(parts_BPFT)
        sizes = {"normalized": self.options["normalized"], "length": self.padded_length(length)}
        wav = istft(spec.flatten(0, 1), self.nfft, self.hop_size, self.window, **sizes)
        return wav.unflatten(0, spec.shape[:2])[..., :length]


def as_complex(parts_BPFT: torch.Tensor) -> torch.Tensor:
    """(batch, 2 n, bins, frames), real and imaginary parts in turn, as (batch, n, bins, frames), complex."""
    parts = parts_BPFT.float().unflatten(1, (-1, 2))
    return torch.complex(parts[:, :, 0], parts[:, :, 1])
