"""Recurrent layers over frequency and time, every other one on a Fourier transform of the feature sequence.

Letters of shapes: B batch, D channels, F bin, T frame.
"""

import torch
from torch import nn

from ...common.products import Linear


class Path(nn.Module):
    """Norm, bidirectional LSTM along one axis, linear layer; added to the input.

    Args:
        dim: channels.
        expand: hidden features per direction as a multiple of ``dim``.
        axis: 2 (frequency) or 3 (time).
    """

    def __init__(self, dim: int, expand: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.norm = nn.GroupNorm(1, dim)
        self.lstm = nn.LSTM(dim, expand * dim, batch_first=True, bidirectional=True)
        self.linear = Linear(2 * expand * dim, dim)

    def forward(self, x_BDFT: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, dim, bins, frames) -> the same
        """
        order = (0, 3, 2, 1) if self.axis == 2 else (0, 2, 3, 1)
        seq = self.norm(x_BDFT).permute(order)
        out = self.linear(self.lstm(seq.flatten(0, 1))[0]).unflatten(0, seq.shape[:2])
        return x_BDFT + out.permute([order.index(axis) for axis in range(4)])


class DualPath(nn.Sequential):
    """Along frequency, then along time.

    Args:
        dim: channels.
        expand: hidden features per direction as a multiple of ``dim``.
    """

    def __init__(self, dim: int, expand: int) -> None:
        super().__init__(Path(dim, expand, axis=2), Path(dim, expand, axis=3))


def to_fourier(x_BDFT: torch.Tensor) -> torch.Tensor:
    """Orthonormal Fourier transform along time, in single precision.

    Shape:
        (batch, dim, bins, frames) -> (batch, 2 dim, bins, frames / 2 + 1), all real parts first
    """
    spec = torch.fft.rfft(x_BDFT.float(), norm="ortho")
    return torch.cat([spec.real, spec.imag], dim=1)


def from_fourier(x_BDFT: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Inverse of :func:`to_fourier`.

    Shape:
        (batch, 2 dim, bins, n_frames / 2 + 1) -> (batch, dim, bins, n_frames)
    """
    real, imag = x_BDFT.float().chunk(2, dim=1)
    return torch.fft.irfft(torch.complex(real.contiguous(), imag.contiguous()), n=n_frames, norm="ortho")
