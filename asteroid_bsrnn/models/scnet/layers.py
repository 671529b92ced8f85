"""Sparse compression of the frequency axis and its inverse.

Letters of shapes: B batch, D channels, F bin, T frame.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class ConvModule(nn.Sequential):
    """Convolutions over time, to be added to the input.

    Args:
        dim: channels.
        compress: reduction of channels inside.
        kernel: taps, odd.
    """

    def __init__(self, dim: int, compress: float, kernel: int) -> None:
        hid, pad = int(dim / compress), kernel // 2
        super().__init__(
            nn.GroupNorm(1, dim),
            nn.Conv1d(dim, 2 * hid, kernel, padding=pad),
            nn.GLU(1),
            nn.Conv1d(hid, hid, kernel, padding=pad, groups=hid),
            nn.GroupNorm(1, hid),
            nn.SiLU(),
            nn.Conv1d(hid, dim, 1),
        )


class Encoder(nn.Module):
    """One stage: three bands are shortened by their own strides, refined along time and put together again.

    Args:
        in_dim: channels in.
        dim: channels out.
        ratios: parts of the frequency axis that the bands have.
        strides: reductions of the frequency axis.
        kernels: their taps.
        depths: convolution modules in each band.
        compress: reduction of channels within a convolution module.
        conv_kernel: taps of a convolution module.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int,
        ratios: Sequence[float],
        strides: Sequence[int],
        kernels: Sequence[int],
        depths: Sequence[int],
        compress: float,
        conv_kernel: int,
    ) -> None:
        super().__init__()
        self.ratios, self.strides, self.kernels = tuple(ratios), tuple(strides), tuple(kernels)
        self.downs = nn.ModuleList(nn.Conv2d(in_dim, dim, (k, 1), (s, 1)) for k, s in zip(kernels, strides))
        self.convs = nn.ModuleList(
            nn.ModuleList(ConvModule(dim, compress, conv_kernel) for _ in range(depth)) for depth in depths
        )
        self.out = nn.Conv2d(dim, dim, 3, padding=1)

    def band_lengths(self, n_bins: int) -> list[int]:
        """Bins of the three bands."""
        edges = [0, math.ceil(n_bins * self.ratios[0]), math.ceil(n_bins * (self.ratios[0] + self.ratios[1])), n_bins]
        return [end - start for start, end in zip(edges, edges[1:])]

    def shortened(self, lengths: Sequence[int]) -> list[int]:
        """Bins of the three bands after their strides."""
        padded = [length + sum(pads) for length, pads in zip(lengths, self._pads(lengths))]
        return [(n - kernel) // stride + 1 for n, kernel, stride in zip(padded, self.kernels, self.strides)]

    def _pads(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        totals = [k - 1 if s == 1 else -n % s for n, k, s in zip(lengths, self.kernels, self.strides)]
        return [(total // 2, total - total // 2) for total in totals]

    def forward(self, x_BDFT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Shape:
            (batch, in_dim, bins, frames) -> twice (batch, dim, fewer bins, frames): output and skip connection
        """
        lengths = self.band_lengths(x_BDFT.shape[2])
        bands = []
        for band, pads, down, convs in zip(x_BDFT.split(lengths, dim=2), self._pads(lengths), self.downs, self.convs):
            bands.append(_along_time(down(F.pad(band, (0, 0, *pads))), convs))
        skip = torch.cat(bands, dim=2)
        return self.out(skip), skip


def _along_time(x_BDFT: torch.Tensor, convs: Any) -> torch.Tensor:
    """Convolution modules on each frequency row by itself, then GELU."""
    batch = len(x_BDFT)
    rows = x_BDFT.transpose(1, 2).flatten(0, 1)
    for conv in convs:
        rows = rows + conv(rows)
    return F.gelu(rows).unflatten(0, (batch, -1)).transpose(1, 2)


class Decoder(nn.Module):
    """One stage back: the skip connection is added, and each band is lengthened to what it was.

    Args:
        dim: channels in.
        out_dim: channels out.
        strides: extensions of the frequency axis.
        kernels: their taps.
    """

    def __init__(self, dim: int, out_dim: int, strides: Sequence[int], kernels: Sequence[int]) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(dim, out_dim, (k, 1), (s, 1)) for k, s in zip(kernels, strides))

    def forward(
        self, x_BDFT: torch.Tensor, skip_BDFT: torch.Tensor, short: list[int], lengths: list[int]
    ) -> torch.Tensor:
        """
        Shape:
            (batch, dim, sum of ``short``, frames), twice -> (batch, out_dim, sum of ``lengths``, frames)
        """
        x = x_BDFT + skip_BDFT
        x = F.glu(self.mix(torch.cat([x, x], dim=1)), dim=1)
        return torch.cat([_middle(up(band), n) for up, band, n in zip(self.ups, x.split(short, dim=2), lengths)], dim=2)


def _middle(x_BDFT: torch.Tensor, length: int) -> torch.Tensor:
    start = abs(length - x_BDFT.shape[2]) // 2
    return x_BDFT[:, :, start : start + length]
