"""Dual-path recurrent module of DTTNet. B batch, C channel, N frame, F bin."""

from typing import Any

import torch
from torch import nn

from ...common.products import Linear
from .config import DTTNetConfig


class RecurrentResidual(nn.Module):
    """Norm, recurrent layer and linear layer over a sequence, with a residual connection.

    Args:
        n_chan: features, 16 to a group of the norm.
        rnn_type: "LSTM" or "GRU".
        bidirectional: whether it runs both ways.
    """

    def __init__(self, n_chan: int, rnn_type: str, bidirectional: bool) -> None:
        super().__init__()
        self.groupnorm = nn.GroupNorm(n_chan // 16, n_chan)
        self.rnn = getattr(nn, rnn_type)(n_chan, 2 * n_chan, batch_first=True, bidirectional=bidirectional)
        self.fc = Linear(2 * n_chan * (1 + bidirectional), n_chan)

    def forward(self, x_BCT: torch.Tensor) -> torch.Tensor:
        """(batch, channels, steps), shape kept."""
        hidden_BTH = self.rnn(self.groupnorm(x_BCT).transpose(1, 2))[0]
        return x_BCT + self.fc(hidden_BTH).transpose(1, 2)


class DualPath(nn.Module):
    """Modules of a net over the frames of each bin, then one over the bins of each frame; heads share their weights.

    Args:
        n_chan: channels.
        config: the rest.
    """

    def __init__(self, n_chan: int, config: DTTNetConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        args = n_chan // config.n_heads, config.rnn_type, config.bidirectional
        nets = [[RecurrentResidual(*args), RecurrentResidual(*args)] for _ in range(config.n_repeats)]
        self.bsrnn = nn.ModuleList(nn.ModuleList(pair) for pair in nets)

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, channels, frames, bins), shape kept."""
        shape = x_BCNF.shape
        x_BCNF = x_BCNF.reshape(shape[0] * self.n_heads, -1, *shape[2:])
        pair: Any
        for pair in self.bsrnn:
            over_frames, over_bins = pair
            x_BCFN = along_last(over_frames, x_BCNF.transpose(2, 3))
            x_BCNF = along_last(over_bins, x_BCFN.transpose(2, 3))
        return x_BCNF.reshape(shape)


def along_last(net: nn.Module, x_BCRT: torch.Tensor) -> torch.Tensor:
    """``net`` over the last axis, each row by itself: (batch, channels, rows, steps), shape kept."""
    batch, n_chan, n_rows, n_steps = x_BCRT.shape
    y_BCT = net(x_BCRT.transpose(1, 2).reshape(batch * n_rows, n_chan, n_steps))
    return y_BCT.reshape(batch, n_rows, n_chan, n_steps).transpose(1, 2)
