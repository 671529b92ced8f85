"""The recurrent convolutional network of A-FRCNN and S-FRCNN.

Legend: B batch, C channel, F frame.

References
    [1] : "Speech Separation Using an Asynchronous Fully Recurrent Convolutional Neural Network", Hu et al.,
    NeurIPS 2021.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...common import products
from ..layers.multi_scale import AsyncFusion, DepthwiseNorm, FusePointwise, SyncFusion
from ..layers.recompute import how_many


class FRCNNBlock(nn.Module):
    """One unfolding: bottom-up through all scales, fusion into the finest one, residual.

    Args:
        bn_chan: channels of the trunk.
        hid_chan: channels inside the block.
        fusion: :class:`AsyncFusion` or :class:`SyncFusion` of ``hid_chan``; has ``n_scales``.

    Shape: (B, bn_chan, F) -> (B, bn_chan, F)
    """

    def __init__(self, bn_chan: int, hid_chan: int, fusion: AsyncFusion | SyncFusion) -> None:
        super().__init__()
        self.proj = FusePointwise(1, bn_chan, hid_chan)
        strides = [1] + [2] * (fusion.n_scales - 1)
        self.bottom_up = nn.ModuleList(DepthwiseNorm(hid_chan, stride) for stride in strides)
        self.fusion = fusion
        self.res_conv = products.Conv1d(hid_chan, bn_chan, 1)

    def forward(self, x_BCF: torch.Tensor) -> torch.Tensor:
        scales = [self.bottom_up[0](self.proj([x_BCF]))]
        for down in self.bottom_up[1:]:
            scales.append(down(scales[-1]))
        return self.res_conv(self.fusion(scales)) + x_BCF


class ChannelScale(nn.Conv1d):
    """Depthwise convolution of width 1, as what it is: a gain and a bias of each channel. A 14th of the time on a processor.

    Shape: (B, C, F), kept
    """

    def __init__(self, chan: int) -> None:
        super().__init__(chan, chan, 1, groups=chan)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if products.PLAIN:
            return super().forward(input)
        gain_C1, bias_C1 = self.weight[:, 0], self.bias.unsqueeze(1)  # type: ignore[union-attr]  # it has a bias
        return input * gain_C1.to(input.dtype) + bias_C1.to(input.dtype)


class RecurrentTrunk(nn.Module):
    """One block applied again and again: r_1 = G(x), r_t = G(phi(x + r_{t-1})), weights shared by all t.

    Args:
        block: G, from (B, C, F) to the same shape.
        chan: C.

    Shape: (B, C, F) -> (B, C, F)
    """

    def __init__(self, block: nn.Module, chan: int) -> None:
        super().__init__()
        self.block = block
        self.rescale = nn.Sequential(ChannelScale(chan), nn.PReLU())

    def forward(self, x_BCF: torch.Tensor, num_iters: int, checkpointing: bool | float = False) -> torch.Tensor:
        """Run ``num_iters`` iterations; with ``checkpointing``, all or a share of their insides are computed again for the gradient."""
        again = how_many(checkpointing, num_iters)
        r_BCF: Any = None
        for index in range(num_iters):
            if index < again:
                r_BCF = checkpoint(self._step, x_BCF, r_BCF, use_reentrant=False)
            else:
                r_BCF = self._step(x_BCF, r_BCF)
        return r_BCF

    def _step(self, x_BCF: torch.Tensor, r_BCF: torch.Tensor | None) -> torch.Tensor:
        return self.block(x_BCF if r_BCF is None else self.rescale(x_BCF + r_BCF))
