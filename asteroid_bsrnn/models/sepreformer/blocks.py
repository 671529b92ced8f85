"""Blocks of SepReformer. Features lie last: (batch, frames, features), where a batch holds the speakers side by side.

Legend: B batch (speakers merged), T frame, P frame of the coarsest stage, F feature.

References
    [1] : "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech Separation", Shin et al., NeurIPS 2024.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear
from ..layers.features_last import Conv
from .attention import Attention


class GlobalNorm(nn.Module):
    """Normalisation of each item over all frames and features, always in 32 bits; a gain and a bias per feature."""

    def __init__(self, n_feat: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(n_feat)), nn.Parameter(torch.zeros(n_feat))

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x_BTF.device.type, enabled=False):
            normed = F.layer_norm(x_BTF.float(), x_BTF.shape[1:], eps=1e-8)
            return normed * self.weight + self.bias


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of features that lie last. Shape: (batch, frames, features) in and out."""

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_BTF.flatten(0, 1)).unflatten(0, x_BTF.shape[:2])


def depthwise(n_feat: int, kernel_size: int, stride: int = 1) -> Conv:
    """Convolution of each feature along the frames, padded on both sides, features last."""
    return Conv(n_feat, n_feat, kernel_size, stride, padding=kernel_size // 2, groups=n_feat)


class ConvFeedForward(nn.Module):
    """Gated convolutional feed-forward network with a scaled residual (GCFN of [1])."""

    def __init__(self, n_feat: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.expand = nn.LayerNorm(n_feat), Linear(n_feat, 6 * n_feat)
        self.depthwise = depthwise(6 * n_feat, 3)
        self.contract, self.drop = Linear(3 * n_feat, n_feat), nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((n_feat,), 1e-5))

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        gated = F.glu(self.depthwise(self.expand(self.norm(x_BTF))), -1)
        return x_BTF + self.scale * self.drop(self.contract(self.drop(gated)))


class GlobalBlock(nn.Module):
    """Attention over averages of frames, gated into every frame (EGA of [1]), then :class:`ConvFeedForward`."""

    def __init__(self, n_feat: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(n_feat, n_heads, dropout)
        self.norm, self.gate = nn.LayerNorm(n_feat), Linear(n_feat, n_feat)
        self.feed_forward = ConvFeedForward(n_feat, dropout)

    def forward(self, x_BTF: torch.Tensor, n_coarse: int, table_RE: torch.Tensor) -> torch.Tensor:
        """``n_coarse`` averages, which divide the frames, are compared with one another."""
        grouped = x_BTF.unflatten(1, (n_coarse, -1))
        attended_BPF = self.attention.over_time(grouped.mean(2), table_RE)
        gate = torch.sigmoid(self.gate(self.norm(grouped)))
        return self.feed_forward((grouped + gate * attended_BPF.unsqueeze(2)).flatten(1, 2))


class LocalBlock(nn.Module):
    """Gated depthwise convolution (CLA of [1]) with a scaled residual, then :class:`ConvFeedForward`."""

    def __init__(self, n_feat: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.expand = nn.LayerNorm(n_feat), Linear(n_feat, 2 * n_feat)
        self.depthwise = depthwise(n_feat, kernel_size)
        self.widen, self.batch_norm = Linear(n_feat, 2 * n_feat), BatchNorm(2 * n_feat)
        self.contract, self.drop = Linear(2 * n_feat, n_feat), nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((n_feat,), 1e-5))
        self.feed_forward = ConvFeedForward(n_feat, dropout)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        local = self.depthwise(F.glu(self.expand(self.norm(x_BTF)), -1))
        local = F.gelu(self.batch_norm(self.widen(local)))
        return self.feed_forward(x_BTF + self.scale * self.drop(self.contract(local)))


class SpeakerBlock(nn.Module):
    """Attention from speaker to speaker in each frame with a residual, then :class:`ConvFeedForward`."""

    def __init__(self, n_feat: int, n_heads: int, n_src: int, dropout: float) -> None:
        super().__init__()
        self.n_src, self.attention = n_src, Attention(n_feat, n_heads, dropout)
        self.feed_forward = ConvFeedForward(n_feat, dropout)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        return self.feed_forward(x_BTF + self.attention.over_speakers(x_BTF, self.n_src))


class SpeakerSplit(nn.Module):
    """From features of the mixture to those of each speaker.

    Shape:
        (batch, frames, features) -> (batch * n_src, frames, features), the speakers of one item side by side.
    """

    def __init__(self, n_feat: int, n_src: int) -> None:
        super().__init__()
        self.n_src = n_src
        self.expand = Linear(n_feat, 4 * n_feat * n_src)
        self.contract, self.norm = Linear(2 * n_feat * n_src, n_feat * n_src), GlobalNorm(n_feat)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        split = self.contract(F.glu(self.expand(x_BTF), -1)).unflatten(-1, (self.n_src, -1))
        return self.norm(split.transpose(1, 2).flatten(0, 1))
