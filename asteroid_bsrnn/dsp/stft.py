"""Short-time Fourier transform of the music models: periodic Hann window, centred, one-sided."""

import torch
from torch import nn
from torch.nn import functional as F

from ..common.errors import UserError
from .inverse_stft import istft


class STFT(nn.Module):
    """Complex spectra and back; equal to ``torch.stft`` with reflect padding wherever that is defined.

    Signals of at most ``n_fft // 2`` samples are too short to be reflected: they are first extended with zeros to
    ``n_fft // 2 + 1`` samples. The window is no parameter and is not saved.

    Args:
        n_fft: window length in samples, even.
        n_hop: hop in samples, at most half the window.
        win_length: samples of a window that is shorter than ``n_fft``; it lies in the middle.
        normalized: divide by the root of ``n_fft``.
    """

    window: torch.Tensor

    def __init__(
        self, n_fft: int = 2048, n_hop: int = 512, win_length: int | None = None, normalized: bool = False
    ) -> None:
        super().__init__()
        if n_fft < 4 or n_fft % 2:
            raise UserError(f"n_fft must be an even number of at least 4, got {n_fft}")
        self.n_fft, self.n_hop, self.normalized = n_fft, n_hop, normalized
        self.win_length = win_length or n_fft
        if not 2 <= self.win_length <= n_fft:
            raise UserError(f"win_length must lie between 2 and n_fft = {n_fft}, got {win_length}")
        if not 1 <= n_hop <= self.win_length // 2:
            name = "n_fft" if win_length is None else "win_length"
            raise UserError(f"n_hop must lie between 1 and {name} / 2 = {self.win_length // 2}, got {n_hop}")
        self.register_buffer("window", torch.hann_window(self.win_length), persistent=False)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Waveform to spectrum.

        Shape:
            - wav: (..., time), real
            - returns: (..., n_fft // 2 + 1, 1 + time // n_hop), complex
        """
        shape = wav.shape
        window = self._wide_window()
        wav = wav.reshape(-1, shape[-1]).to(window.dtype)
        missing = self.n_fft // 2 + 1 - shape[-1]
        if missing > 0:
            wav = F.pad(wav, (0, missing))
        spec = torch.stft(
            wav, self.n_fft, self.n_hop, self.win_length, window, normalized=self.normalized, return_complex=True
        )
        return spec.view(*shape[:-1], *spec.shape[-2:])

    def inverse(self, spec: torch.Tensor, length: int) -> torch.Tensor:
        """Spectrum to waveform of ``length`` samples.

        Shape:
            - spec: (..., n_fft // 2 + 1, frames), complex
            - returns: (..., length), real
        """
        shape = spec.shape
        spec = spec.reshape(-1, *shape[-2:])
        full = max(length, self.n_fft // 2 + 1)
        wav = istft(spec, self.n_fft, self.n_hop, self._wide_window(), normalized=self.normalized, length=full)
        return wav[..., :length].reshape(*shape[:-2], length)

    def _wide_window(self) -> torch.Tensor:
        """The window in float32 at least: where the model was made half precision, its transforms are not."""
        if self.window.dtype in (torch.float32, torch.float64):
            return self.window
        return torch.hann_window(self.win_length, device=self.window.device)

    def extra_repr(self) -> str:
        return f"n_fft={self.n_fft}, n_hop={self.n_hop}"
