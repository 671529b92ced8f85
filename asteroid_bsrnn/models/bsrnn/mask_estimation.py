"""Mask estimation: band features to one complex mask per source, applied to the mixture's spectrum.

Legend: K band, S source, Q mask network (band, source), B batch, C channel, T frame, L batch * frame, N feature, M hidden,
G band of a group of equal width, W bin of a band, O outputs of a band (channel, value/gate, bin, real/imaginary), F bin.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.norms import uniform
from .bands import equal_width_groups


class MaskEstimation(nn.Module):
    """One small network per source and band; the hidden layers of all of them are batched matrix products.

    The norm's statistics are the same for all sources, its affine part is folded into the first layer. Only the last
    layer has as many products as there are different band widths.

    Args:
        widths: bins per band.
        feature_dim: N.
        mask_ratio: hidden features are ``mask_ratio * feature_dim``.
        n_src: sources with a mask of their own.
        n_chan: channels per mask network (2 for naive stereo), else 1.
        context: each estimated bin becomes the sum of itself and this many neighbours on both sides, within its
            band. A plain box sum as in the published implementation, not the learnt context of SIMO-BSRNN.
        eps: added to the variance.
    """

    def __init__(
        self,
        widths: Sequence[int],
        feature_dim: int,
        mask_ratio: int = 4,
        n_src: int = 1,
        n_chan: int = 1,
        context: int = 0,
        eps: float = 1e-7,
    ) -> None:
        super().__init__()
        self.groups, self.n_src, self.n_chan = equal_width_groups(widths), n_src, n_chan
        self.context, self.eps = context, eps
        n_nets, hid = len(widths) * n_src, mask_ratio * feature_dim
        self.norm_weight = nn.Parameter(torch.ones(n_nets, feature_dim, 1))
        self.norm_bias = nn.Parameter(torch.zeros(n_nets, 1, feature_dim))
        self.weight1 = uniform(n_nets, feature_dim, hid, fan_in=feature_dim)
        self.bias1 = uniform(n_nets, 1, hid, fan_in=feature_dim)
        self.weight2 = uniform(n_nets, hid, hid, fan_in=hid)
        self.bias2 = uniform(n_nets, 1, hid, fan_in=hid)
        self.weight3, self.bias3 = nn.ParameterList(), nn.ParameterList()
        for _, count, width, _ in self.groups:
            self.weight3.append(uniform(count * n_src, hid, 4 * width * n_chan, fan_in=hid))
            self.bias3.append(uniform(count * n_src, 1, 4 * width * n_chan, fan_in=hid))

    def forward(self, x_KBTN: torch.Tensor, spec_BCFT: torch.Tensor) -> torch.Tensor:
        """Masked spectra.

        Shape:
            - x_KBTN: (bands, batch, frames, features)
            - spec_BCFT: (batch, channels, bins, frames), complex
            - returns: (batch, sources, channels, bins, frames), complex
        """
        hidden = self._hidden(x_KBTN).split([count * self.n_src for _, count, _, _ in self.groups])
        shape = (spec_BCFT.shape[0], spec_BCFT.shape[-1])
        parts = [self._group(hid, index, shape) for index, hid in enumerate(hidden)]
        mask_SBTCF2 = torch.cat(parts, dim=-1).to(spec_BCFT.dtype.to_real()).unflatten(-1, (-1, 2))
        est_SBTCF = torch.view_as_complex(mask_SBTCF2) * spec_BCFT.permute(0, 3, 1, 2)
        if self.context:
            est_SBTCF = self._box_sums(est_SBTCF)
        return est_SBTCF.permute(1, 0, 3, 4, 2)

    def _hidden(self, x_KBTN: torch.Tensor) -> torch.Tensor:
        """Both hidden layers of all bands and sources: (bands * sources, batch * frames, hidden)."""
        x_QLN = self._normed(x_KBTN).flatten(1, 2)
        if self.n_src > 1:
            x_QLN = x_QLN.repeat_interleave(self.n_src, dim=0)
        bias1 = torch.baddbmm(self.bias1, self.norm_bias, self.weight1)
        hid_QLM = torch.baddbmm(bias1, x_QLN, self.weight1 * self.norm_weight).tanh()
        return torch.baddbmm(self.bias2, hid_QLM, self.weight2).tanh()

    def _normed(self, x_KBTN: torch.Tensor) -> torch.Tensor:
        """Each band and item less its mean, over its deviation."""
        return F.layer_norm(x_KBTN, x_KBTN.shape[2:], eps=self.eps)

    def _group(self, hid_QLM: torch.Tensor, index: int, shape: tuple[int, int]) -> torch.Tensor:
        """Masks of the bands of one width: (sources, batch, frames, channels, bins * 2)."""
        _, count, width, _ = self.groups[index]
        out_QLO = torch.baddbmm(self.bias3[index], hid_QLM, self.weight3[index])
        out = out_QLO.view(count, self.n_src, *shape, self.n_chan, 4 * width)
        mask_GSBTC2W = F.glu(out)  # value * sigmoid(gate), unbounded
        return mask_GSBTC2W.permute(1, 2, 3, 4, 0, 5).flatten(4)

    def _box_sums(self, est_SBTCF: torch.Tensor) -> torch.Tensor:
        """Each bin with its neighbours on both sides, within its band."""
        parts = est_SBTCF.split([count * width for _, count, width, _ in self.groups], dim=-1)
        bands = [part.unflatten(-1, (-1, width)) for part, (_, _, width, _) in zip(parts, self.groups)]
        padded = [F.pad(band, (self.context, self.context)) for band in bands]
        return torch.cat([band.unfold(-1, 2 * self.context + 1, 1).sum(-1).flatten(-2) for band in padded], dim=-1)
