"""What lies between bands and masks: projections of bands, blocks, mask estimators.

Axes: B batch, T frames, K bands, D features, W values of all bands (bin, channel, real and imaginary part).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...common.products import Linear
from .transformer import Attention, FeedForward, LinearAttention, RMSNorm, Transformer


class BandSplit(nn.Module):
    """Norm and linear for each band, rounded as the original does: gradients of the input feel every bit here.

    Args:
        sizes: values of each band.
        dim: features D.

    Shape:
        (batch, frames, sum(sizes)) -> (batch, frames, bands, dim)
    """

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.to_features = nn.ModuleList(nn.Sequential(RMSNorm(size), Linear(size, dim)) for size in sizes)

    def forward(self, x_BTW: torch.Tensor) -> torch.Tensor:
        parts = x_BTW.split(self.sizes, dim=-1)
        return torch.stack([net(x) for net, x in zip(self.to_features, parts)], dim=2)


class Block(nn.ModuleList):
    """Transformers over all tokens (linear attention, if any), over time and over bands, in this order.

    Args:
        config: a :class:`~.config.RoFormerConfig`.
        norm: whether each transformer ends with a norm.

    Shape:
        (batch, frames, bands, dim) -> (batch, frames, bands, dim)
    """

    def __init__(self, config: Any, norm: bool) -> None:
        def attention() -> Attention:
            return Attention(config.feature_dim, config.n_heads, config.dim_head, config.gate, config.attn_dropout)

        def linear_attention() -> LinearAttention:
            return LinearAttention(config.feature_dim, config.n_heads, config.dim_head, config.attn_dropout)

        def transformer(kind: Callable[[], nn.Module], depth: int) -> Transformer:
            layers = [(kind(), FeedForward(config.feature_dim, config.ff_dropout)) for _ in range(depth)]
            return Transformer(layers, RMSNorm(config.feature_dim) if norm else None)

        linear = [transformer(linear_attention, config.n_linear_layers)] if config.n_linear_layers else []
        super().__init__(
            [*linear, transformer(attention, config.n_time_layers), transformer(attention, config.n_band_layers)]
        )

    def forward(self, x_BTKD: torch.Tensor, time_phase: torch.Tensor, band_phase: torch.Tensor) -> torch.Tensor:
        *linear, time, band = self
        for part in linear:
            x_BTKD = part(x_BTKD.flatten(1, 2)).view_as(x_BTKD)
        x_BKTD = x_BTKD.transpose(1, 2).contiguous()
        x_BKTD = time(x_BKTD.flatten(0, 1), time_phase).view_as(x_BKTD)
        x_BTKD = x_BKTD.transpose(1, 2).contiguous()
        return band(x_BTKD.flatten(0, 1), band_phase).view_as(x_BTKD)


class MaskEstimator(nn.Module):
    """Masks of one source: for each band linear layers with tanh between, then a gated linear unit.

    Args:
        sizes: values of each band.
        dim: features D.
        ratio: hidden features as a multiple of ``dim``.
        depth: hidden layers.
        norm: whether each band has a norm of its own first.

    Shape:
        (batch, frames, bands, dim) -> (batch, frames, sum(sizes))
    """

    def __init__(self, sizes: Sequence[int], dim: int, ratio: int, depth: int, norm: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm(dim) for _ in sizes) if norm else None
        self.to_freqs = nn.ModuleList(
            nn.Sequential(_layers([dim] + depth * [ratio * dim] + [2 * size]), nn.GLU()) for size in sizes
        )

    def forward(self, x_BTKD: torch.Tensor) -> torch.Tensor:
        if self.norms is not None:
            norms: Any = self.norms
            gain_KD = torch.stack([norm.gain() for norm in norms])
            x_BTKD = RMSNorm.unit(x_BTKD) * gain_KD.to(x_BTKD.dtype)
        return torch.cat([net(x) for net, x in zip(self.to_freqs, x_BTKD.unbind(2))], dim=-1)


def _layers(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers += [Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])
