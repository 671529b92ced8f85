"""The alternation of nets along time and along the bands, with what may follow them in a block.

Legend: K band, B batch (channels folded in), T frame, N feature, H head.
"""

from typing import Any

import torch
from torch import nn

from .attention import FrameAttention
from .config import BSRNNConfig, norm_groups
from .sequence import DilatedNet, Passage, ResidualNet
from .tac import TAC


class BandSequenceBlock(nn.Module):
    """One block: time net, band net, then TAC and attention where wanted.

    With several heads, neighbouring features form a head; heads share all weights of the two nets.

    Args:
        time_net, band_net: nets of :mod:`.sequence` over ``n_feat // n_heads`` features.
        n_heads: parallel heads of the two nets.
        tac: exchange between channels.
        attention: attention over frames.
    """

    def __init__(
        self,
        time_net: nn.Module,
        band_net: nn.Module,
        n_heads: int = 1,
        tac: TAC | None = None,
        attention: FrameAttention | None = None,
    ) -> None:
        super().__init__()
        self.time_net, self.band_net, self.n_heads = time_net, band_net, n_heads
        self.tac, self.attention = tac, attention

    def forward(self, x_KBTN: torch.Tensor, n_chan: int = 1) -> torch.Tensor:
        """Shape: (bands, batch * n_chan, frames, features) in and out."""
        if self.n_heads > 1:
            n_batch = x_KBTN.shape[1]
            x_KBTN = x_KBTN.unflatten(3, (self.n_heads, -1)).transpose(2, 3).flatten(1, 2)
        x_TBKN = self.time_net(x_KBTN)
        x_KBTN = self.band_net(x_TBKN)
        if self.n_heads > 1:
            x_KBTN = x_KBTN.unflatten(1, (n_batch, self.n_heads)).transpose(2, 3).flatten(3)
        if self.tac is not None:
            x_KBTN = self.tac(x_KBTN, n_chan)
        return x_KBTN if self.attention is None else self.attention(x_KBTN)


def build_block(args: BSRNNConfig, n_bands: int) -> BandSequenceBlock:
    """A block from the constructor arguments of :class:`~asteroid_bsrnn.models.BSRNN`.

    Args:
        args: object with these arguments as attributes.
        n_bands: K.
    """
    tac = TAC(args.feature_dim, args.tac_ratio, args.tac_act) if args.stereo == "tac" else None
    attention = None
    if args.n_attn_heads:
        attention = FrameAttention(args.feature_dim, n_bands, args.n_attn_heads, args.attn_dim)
    time_net, band_net = _build_net(args, args.time_layer, 0), _build_net(args, args.band_layer, 1)
    return BandSequenceBlock(time_net, band_net, args.n_heads, tac, attention)


def _build_net(args: BSRNNConfig, layer: Any, axis: int) -> DilatedNet | Passage | ResidualNet:
    n_feat = args.feature_dim // args.n_heads
    if layer == "none":
        return Passage()
    if layer == "dilated":
        values = (args.n_dilated, args.dilated_kernel, args.dilated_ratio)
        n_dilated, kernel_size, ratio = (value if isinstance(value, int) else value[axis] for value in values)
        return DilatedNet(n_feat, n_dilated, kernel_size, ratio, args.eps)
    n_groups = norm_groups(args.group_num, n_feat)
    return ResidualNet(layer, n_feat, args.hid_ratio, args.bidirectional, n_groups, args.eps)
