"""Band split: every sub-band of the spectrum becomes one feature vector per frame.

Legend: B batch, C channel, F bin, T frame, K band, W bin of a band, N feature, G band of a group of equal width.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..layers.norms import uniform
from .bands import equal_width_groups


class BandSplit(nn.Module):
    """Norm and linear layer of each sub-band, all bands of equal width in one batched product.

    The affine part of the norm is folded into the linear layer: W (g x + s) + b = (W g) x + (W s + b).

    Args:
        widths: bins per band.
        feature_dim: N, features per band.
        n_chan: channels that are read together (2 for naive stereo), else 1.
        eps: added to the variance.

    References
        [1] Luo and Yu, "Music Source Separation with Band-Split RNN", TASLP 2023, section III-A.
    """

    def __init__(self, widths: Sequence[int], feature_dim: int, n_chan: int = 1, eps: float = 1e-7) -> None:
        super().__init__()
        self.groups, self.feature_dim, self.eps = equal_width_groups(widths), feature_dim, eps
        self.norm_weight, self.norm_bias = nn.ParameterList(), nn.ParameterList()
        self.weight, self.bias = nn.ParameterList(), nn.ParameterList()
        for _, count, width, _ in self.groups:
            n_in = 2 * width * n_chan
            self.norm_weight.append(nn.Parameter(torch.ones(count, n_in, 1)))
            self.norm_bias.append(nn.Parameter(torch.zeros(count, 1, n_in)))
            self.weight.append(uniform(count, n_in, feature_dim, fan_in=n_in))
            self.bias.append(uniform(count, 1, feature_dim, fan_in=n_in))

    def forward(self, spec_BCFT: torch.Tensor) -> torch.Tensor:
        """Spectrum to band features; the inputs of a band are ordered channel, bin, real/imaginary.

        Shape:
            - spec_BCFT: (batch, channels, bins, frames), complex
            - returns: (bands, batch, frames, features)
        """
        n_batch, n_frames = spec_BCFT.shape[0], spec_BCFT.shape[-1]
        x_BTCF2 = torch.view_as_real(spec_BCFT).permute(0, 3, 1, 2, 4)  # contiguous: torch.stft puts bins last
        parts = x_BTCF2.split([count * width for _, count, width, _ in self.groups], dim=3)
        bands = [self._group(part, index) for index, part in enumerate(parts)]
        return torch.cat(bands).view(-1, n_batch, n_frames, self.feature_dim)

    def _group(self, x_BTCF2: torch.Tensor, index: int) -> torch.Tensor:
        """Features of the bands of one width: (bands, batch * frames, features)."""
        _, count, width, _ = self.groups[index]
        x_GBTI = x_BTCF2.unflatten(3, (count, width)).permute(3, 0, 1, 2, 4, 5).flatten(3)
        x_GBTI = self._normed(x_GBTI)
        bias = torch.baddbmm(self.bias[index], self.norm_bias[index], self.weight[index])
        return torch.baddbmm(bias, x_GBTI.flatten(1, 2), self.weight[index] * self.norm_weight[index])

    def _normed(self, x_GBTI: torch.Tensor) -> torch.Tensor:
        """Each band and item less its mean, over its deviation."""
        return F.layer_norm(x_GBTI, x_GBTI.shape[2:], eps=self.eps)
