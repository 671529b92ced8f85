"""What the networks of this family share: complex spectra as channels, lengths that fit their grid of frames.

A tensor's suffix names its axes: B batch, S sources, C audio channels, P real and imaginary parts of all channels, F
bin, N frame, L sample.
"""

from typing import Any

import torch
from torch.nn import functional as F

from ...dsp.inverse_stft import istft
from ..base import MusicModel


class SpectrogramNet(MusicModel):
    """Music model on the complex spectrogram: the lowest bins in, those of the estimates out, no mask.

    A subclass writes :meth:`estimate`. Frames come in multiples of :attr:`frame_multiple`; other lengths are extended
    with zeros on the right and cut again. STFTs are computed in single precision (double for double), whatever the
    network runs in.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.n_fft, self.n_hop = config.n_fft, config.n_hop
        self.frame_multiple = config.frame_multiple
        self.segment = config.n_hop * (config.dim_t - 1)
        self.multiple = config.n_hop

    def estimate(self, spec_BPFN: torch.Tensor) -> torch.Tensor:
        """Spectra of the estimates.

        Shape:
            (batch, 2 * channels, dim_f, frames) -> (batch, n_src * 2 * channels, dim_f, frames), channels as (source,
            audio channel, real or imaginary)
        """
        raise TypeError(f"{type(self).__name__} does not say how it estimates: it needs a method 'estimate'")

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Separate waveforms of :attr:`channels` channels, of any length.

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        length = wav_BCL.shape[-1]
        fitted = self.n_hop * (self.frames_for(length) - 1)
        wide_BCL = F.pad(at_least_single(wav_BCL), (0, fitted - length))
        spec_BPFN = to_channels(wide_BCL, self.n_fft, self.n_hop, self.config.dim_f)
        est_BPFN = self.estimate(spec_BPFN.to(next(self.parameters()).dtype))
        est_BSCL = to_waveforms(at_least_single(est_BPFN), self.n_src, self.n_fft, self.n_hop)
        return est_BSCL[..., :length].to(wav_BCL.dtype)

    def frames_for(self, length: int) -> int:
        """The least number of frames of the grid that holds ``length`` samples and can be reflected at its ends."""
        n_frames = max(-(-length // self.n_hop) + 1, self.n_fft // 2 // self.n_hop + 2, self.config.min_frames)
        return self.frame_multiple * -(-n_frames // self.frame_multiple)


def at_least_single(x: torch.Tensor) -> torch.Tensor:
    """``x`` in single precision, or in double where it is double."""
    return x if x.dtype == torch.float64 else x.float()


def to_channels(wav_BCL: torch.Tensor, n_fft: int, n_hop: int, n_bins: int) -> torch.Tensor:
    """Centred STFT with a periodic Hann window and reflected ends; its lowest ``n_bins`` bins.

    Shape:
        (batch, channels, time) -> (batch, 2 * channels, n_bins, 1 + time // n_hop), real part before imaginary part
    """
    batch, n_chan, length = wav_BCL.shape
    window = torch.hann_window(n_fft, dtype=wav_BCL.dtype, device=wav_BCL.device)
    spec = torch.stft(wav_BCL.reshape(-1, length), n_fft, n_hop, window=window, return_complex=True)[:, :n_bins]
    return torch.view_as_real(spec).permute(0, 3, 1, 2).reshape(batch, 2 * n_chan, n_bins, -1)


def to_waveforms(est_BPFN: torch.Tensor, n_src: int, n_fft: int, n_hop: int) -> torch.Tensor:
    """The inverse of :func:`to_channels`, bins that are not there taken as zero.

    Shape:
        (batch, n_src * 2 * channels, bins, frames) -> (batch, n_src, channels, n_hop * (frames - 1))
    """
    batch, n_parts, n_bins, n_frames = est_BPFN.shape
    parts = est_BPFN.reshape(-1, 2, n_bins, n_frames).permute(0, 2, 3, 1).contiguous()
    spec = F.pad(torch.view_as_complex(parts), (0, 0, 0, n_fft // 2 + 1 - n_bins))
    window = torch.hann_window(n_fft, dtype=est_BPFN.dtype, device=est_BPFN.device)
    wav = istft(spec, n_fft, n_hop, window)
    return wav.reshape(batch, n_src, n_parts // (2 * n_src), -1)
