"""Short-time Fourier transform of the music models: periodic Hann window, centred, one-sided, not normalised."""
import torch
from torch import nn
from torch.nn import functional as F


class STFT(nn.Module):
    """Complex spectra and back; equal to ``torch.stft`` with reflect padding wherever that is defined.

    Signals of at most ``n_fft // 2`` samples are too short to be reflected: they are first extended with zeros to
    ``n_fft // 2 + 1`` samples. The window is no parameter and is not saved.

    Args:
        n_fft (int): window length in samples, even.
        n_hop (int): hop in samples, at most ``n_fft // 2``.
    """

    def __init__(self, n_fft=2048, n_hop=512):
        super().__init__()
        if n_fft < 4 or n_fft % 2:
            raise ValueError(f"n_fft must be an even number of at least 4, got {n_fft}")
        if not 1 <= n_hop <= n_fft // 2:
            raise ValueError(f"n_hop must lie between 1 and n_fft / 2 = {n_fft // 2}, got {n_hop}")
        self.n_fft, self.n_hop = n_fft, n_hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav):
        """Waveform to spectrum.

        Shape:
            - wav: (..., time), real
            - returns: (..., n_fft // 2 + 1, 1 + time // n_hop), complex
        """
        shape = wav.shape
        wav = wav.reshape(-1, shape[-1]).to(self.window.dtype)
        missing = self.n_fft // 2 + 1 - shape[-1]
        if missing > 0:
            wav = F.pad(wav, (0, missing))
        spec = torch.stft(wav, self.n_fft, self.n_hop, window=self.window, return_complex=True)
        return spec.view(*shape[:-1], *spec.shape[-2:])

    def inverse(self, spec, length):
        """Spectrum to waveform of ``length`` samples.

        Shape:
            - spec: (..., n_fft // 2 + 1, frames), complex
            - returns: (..., length), real
        """
        shape = spec.shape
        spec = spec.reshape(-1, *shape[-2:])
        full = max(length, self.n_fft // 2 + 1)
        wav = torch.istft(spec, self.n_fft, self.n_hop, window=self.window, length=full)
        return wav[..., :length].reshape(*shape[:-2], length)

    def extra_repr(self):
        return f"n_fft={self.n_fft}, n_hop={self.n_hop}"
