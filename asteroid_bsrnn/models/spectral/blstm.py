"""Spectra, normalised features and the BLSTM of the mask and embedding networks.

Legend: B batch, F bin, T frame, H hidden.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...common.errors import UserError
from ...common.products import Linear
from ...dsp.inverse_stft import istft

LOG_FLOOR = 1e-5


class SpectralFrontEnd(nn.Module):
    """STFT with its exact inverse, and log magnitudes normalised by statistics that are stored with the weights.

    The signal is padded with zeros to whole hops, such that a frame is centred on its end and every length comes back.

    Args:
        n_fft: samples of a frame.
        n_hop: samples between frames; divides ``n_fft``, at most half of it.
        window: "hann" or "sqrt_hann".
    """

    window: torch.Tensor
    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(self, n_fft: int, n_hop: int, window: str) -> None:
        super().__init__()
        self.n_fft, self.n_hop, self.n_bins = n_fft, n_hop, n_fft // 2 + 1
        values = torch.hann_window(n_fft)
        self.register_buffer("window", values.sqrt() if window == "sqrt_hann" else values, persistent=False)
        self.register_buffer("feature_mean", torch.zeros(self.n_bins))
        self.register_buffer("feature_std", torch.ones(self.n_bins))

    def analyse(self, wav: torch.Tensor) -> torch.Tensor:
        """(..., time) -> complex (..., F, T)."""
        flat = wav.float().reshape(-1, wav.shape[-1])
        flat = F.pad(flat, (0, -wav.shape[-1] % self.n_hop))
        spectra = torch.stft(
            flat, self.n_fft, self.n_hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        return spectra.reshape(wav.shape[:-1] + spectra.shape[-2:])

    def synthesise(self, spectra: torch.Tensor, length: int) -> torch.Tensor:
        """complex (..., F, T) -> (..., length)."""
        flat = spectra.flatten(0, -3)
        wav = istft(flat, self.n_fft, self.n_hop, self.window)
        return F.pad(wav, (0, max(0, length - wav.shape[-1])))[..., :length].unflatten(0, spectra.shape[:-2])

    def n_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames that samples (B,) reach: frames past them see zeros only."""
        return torch.div(lengths + self.n_hop - 1, self.n_hop, rounding_mode="floor") + 1

    def features(self, magnitude_BFT: torch.Tensor) -> torch.Tensor:
        """Normalised log magnitudes (B, T, F)."""
        return (_log(magnitude_BFT).mT - self.feature_mean) / self.feature_std

    @torch.no_grad()
    def fit(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set mean and standard deviation of each bin's log magnitude from an iterable of waveforms (..., time).

        Raises:
            UserError: if there is no waveform.
        """
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for wav in mixtures:
            magnitude = self.analyse(wav.to(self.window.device)).abs()
            logs = _log(magnitude).double().mT.reshape(-1, self.n_bins)
            count, total, squares = count + len(logs), total + logs.sum(0), squares + logs.square().sum(0)
        if count == 0:
            raise UserError("no mixture to take the statistics of the features from")
        mean = total / count
        self.feature_mean.copy_(mean)
        self.feature_std.copy_((squares / count - mean.square()).clamp(min=1e-8).sqrt())


def _log(magnitude: torch.Tensor) -> torch.Tensor:
    return magnitude.clamp(min=LOG_FLOOR).log()


class BLSTM(nn.Module):
    """Stacked BiLSTM over frames, which never sees padded frames.

    Shape: (B, T, F) -> (B, T, 2 * hid_size)
    """

    def __init__(self, in_size: int, hid_size: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if n_layers > 1 else 0.0
        self.rnn = nn.LSTM(in_size, hid_size, n_layers, batch_first=True, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTF: torch.Tensor, n_frames: torch.Tensor | None = None) -> torch.Tensor:
        if n_frames is None:
            return self.dropout(self.rnn(x_BTF)[0])
        packed = pack_padded_sequence(x_BTF, n_frames.cpu(), batch_first=True, enforce_sorted=False)
        return self.dropout(pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x_BTF.shape[1])[0])


class MaskHead(nn.Module):
    """Linear layer to one non-negative mask per source.

    Shape: (B, T, H) -> (B, n_src, F, T)
    """

    def __init__(self, in_size: int, n_src: int, n_bins: int, mask_act: str) -> None:
        super().__init__()
        self.n_src, self.linear = n_src, Linear(in_size, n_src * n_bins)
        self.act = nn.ReLU() if mask_act == "relu" else nn.Sigmoid()

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        return self.act(self.linear(x_BTH)).unflatten(-1, (self.n_src, -1)).permute(0, 2, 3, 1)
