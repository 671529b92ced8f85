"""What takes the place of slow layers of Asteroid (:mod:`asteroid_bsrnn.host`): the same functions of the same weights.

B batch, S source, C channel, T frame.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def global_norm(self: Any, x: torch.Tensor, EPS: float = 1e-8) -> torch.Tensor:
    """``GlobLN.forward``: (batch, channels, ...), shape kept."""
    return F.group_norm(x, 1, self.gamma, self.beta, EPS)


def masks_of_sudormrf(self: Any, x_BCT: torch.Tensor) -> torch.Tensor:
    """``SuDORMRF.forward``: (batch, channels, frames) -> masks (batch, n_src, channels, frames)."""
    x_BCT = self.sm(self.l1(self.ln(x_BCT)))
    if self.bn_chan != self.in_chan:
        x_BCT = self.reshape_before_masks(x_BCT)
    return self.output_act(tall_convolution(self.m, x_BCT))


def tall_convolution(conv: nn.Conv2d, x_BCT: torch.Tensor) -> torch.Tensor:
    """``conv(x.unsqueeze(1))`` for one channel and filters of width 1, as a product with a matrix of shifted filters.

    Row r of the output sees channel c through tap ``c - r + padding``.

    Shape:
        (batch, channels, frames) -> (batch, n_src, rows, frames)
    """
    n_chan, pad, (n_out, _, n_taps, _) = x_BCT.shape[1], int(conv.padding[0]), conv.weight.shape
    n_rows = n_chan + 2 * pad - n_taps + 1
    windows = F.pad(conv.weight.view(n_out, n_taps), (n_chan, n_chan)).unfold(1, n_chan, 1)
    shifted_SRC = windows[:, n_chan + pad - n_rows + 1 : n_chan + pad + 1].flip(1)
    out_BSRT = torch.matmul(shifted_SRC.flatten(0, 1), x_BCT).unflatten(1, (n_out, n_rows))
    return out_BSRT if conv.bias is None else out_BSRT + conv.bias[:, None, None]
