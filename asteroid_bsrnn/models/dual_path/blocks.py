"""Dual-path networks: along the chunk, then along the chunks, with and without several scales in the chunk.

Legend: B batch, N feature, K position in a chunk, L chunk.

References
    [1] : "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech separation",
    Luo et al., ICASSP 2020.
    [2] : supplementary material of "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural
    Network", Hu et al., NeurIPS 2021.
"""

from collections.abc import Callable

import torch
from torch import nn

from ...common.products import Linear
from ..layers.multi_scale import AsyncFusion, DepthwiseNorm, SyncFusion, global_layer_norm

INTRA, INTER = 2, 3


def sequences_along(x_BNKL: torch.Tensor, axis: int) -> torch.Tensor:
    """(B, N, K, L) -> (length, B * other, N): one sequence per position of the other axis, as LSTMs compute them."""
    other = INTRA + INTER - axis
    return x_BNKL.permute(axis, 0, other, 1).flatten(1, 2)


def from_sequences(sequences: torch.Tensor, batch: int, axis: int) -> torch.Tensor:
    """Inverse of :func:`sequences_along`: (length, B * other, N) -> (B, N, K, L)."""
    x = sequences.unflatten(1, (batch, -1))
    return x.permute(1, 3, 0, 2) if axis == INTRA else x.permute(1, 3, 2, 0)


class Projection(nn.Module):
    """Linear layer on sequences, back to chunks, global layer norm."""

    def __init__(self, in_size: int, chan: int) -> None:
        super().__init__()
        self.linear, self.norm = Linear(in_size, chan), global_layer_norm(chan)

    def forward(self, sequences: torch.Tensor, batch: int, axis: int) -> torch.Tensor:
        return self.norm(from_sequences(self.linear(sequences), batch, axis))


def bidirectional_lstm(chan: int, hid_size: int) -> nn.LSTM:
    return nn.LSTM(chan, hid_size, bidirectional=True)


class RecurrentPath(nn.Module):
    """BiLSTM along one axis, projection, global layer norm, residual (half a block of [1]).

    Shape: (B, N, K, L) -> (B, N, K, L)
    """

    def __init__(self, chan: int, hid_size: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.rnn, self.proj = bidirectional_lstm(chan, hid_size), Projection(2 * hid_size, chan)

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        hidden = self.rnn(sequences_along(x_BNKL, self.axis))[0]
        return x_BNKL + self.proj(hidden, len(x_BNKL), self.axis)


class MultiScaleIntra(nn.Module):
    """One BiLSTM on ever coarser scales of the chunk, fused into the finest one, residual (section 3 of [2]).

    Args:
        chan: N.
        hid_size: units of the BiLSTM per direction; the same weights serve all scales.
        fusion: two-axis ``AsyncFusion`` or ``SyncFusion`` of ``chan``; has ``n_scales``.
        per_stage_proj: each scale has its own projection and norm behind the shared BiLSTM.

    Shape: (B, N, K, L) -> (B, N, K, L)
    """

    def __init__(self, chan: int, hid_size: int, fusion: AsyncFusion | SyncFusion, per_stage_proj: bool) -> None:
        super().__init__()
        n_proj = fusion.n_scales if per_stage_proj else 1
        self.rnn = bidirectional_lstm(chan, hid_size)
        self.proj = nn.ModuleList(Projection(2 * hid_size, chan) for _ in range(n_proj))
        self.down = nn.ModuleList(DepthwiseNorm(chan, 2, n_axes=2) for _ in range(fusion.n_scales - 1))
        self.fusion, self.res_conv = fusion, nn.Conv2d(chan, chan, 1)

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        scales = [self._recur(x_BNKL, 0)]
        for s, down in enumerate(self.down, start=1):
            scales.append(self._recur(down(scales[-1]), s))
        return x_BNKL + self.res_conv(self.fusion(scales))

    def _recur(self, x_BNKL: torch.Tensor, s: int) -> torch.Tensor:
        hidden = self.rnn(sequences_along(x_BNKL, INTRA))[0]
        return x_BNKL + self.proj[s % len(self.proj)](hidden, len(x_BNKL), INTRA)


class AlternatingPaths(nn.Module):
    """``n_blocks`` times an intra-chunk and an inter-chunk module, each either tied over the blocks or not.

    Args:
        make_intra, make_inter: build one module.
        n_blocks: blocks.
        tie_intra, tie_inter: one module serves all blocks.
    """

    def __init__(
        self,
        make_intra: Callable[[], nn.Module],
        make_inter: Callable[[], nn.Module],
        n_blocks: int,
        tie_intra: bool,
        tie_inter: bool,
    ) -> None:
        super().__init__()
        self.n_blocks = n_blocks
        self.intra = nn.ModuleList(make_intra() for _ in range(1 if tie_intra else n_blocks))
        self.inter = nn.ModuleList(make_inter() for _ in range(1 if tie_inter else n_blocks))

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        for b in range(self.n_blocks):
            x_BNKL = self.intra[b % len(self.intra)](x_BNKL)
            x_BNKL = self.inter[b % len(self.inter)](x_BNKL)
        return x_BNKL
