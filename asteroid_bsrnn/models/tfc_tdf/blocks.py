"""Blocks of ConvTDFNet and DTTNet. B batch, C channel, N frame, F bin.

TFC, time-frequency convolutions, looks at neighbouring frames and bins; TDF, time-distributed fully-connected layers,
looks at all bins of a frame. Names of the members are those of published weights.
"""

import torch
from torch import nn

from ...common.products import Linear
from .config import ConvTDFNetConfig
from .norms import norm


def conv_norm(conv: nn.Conv2d | nn.ConvTranspose2d, norm_type: str) -> nn.Sequential:
    """A convolution, its norm and a ReLU."""
    return nn.Sequential(conv, norm(norm_type, conv.out_channels), nn.ReLU())


class TFC(nn.Module):
    """Convolutions over frames and bins.

    Args:
        n_chan: channels.
        n_convs: how many.
        kernel_size: odd.
        norm_type: after each.
    """

    def __init__(self, n_chan: int, n_convs: int, kernel_size: int, norm_type: str) -> None:
        super().__init__()
        convs = [nn.Conv2d(n_chan, n_chan, kernel_size, padding=kernel_size // 2) for _ in range(n_convs)]
        self.H = nn.Sequential(*(conv_norm(conv, norm_type) for conv in convs))

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, channels, frames, bins), shape kept."""
        return self.H(x_BCNF)


def tdf(n_chan: int, n_bins: int, bottleneck: int | None, bias: bool, norm_type: str) -> nn.Sequential | None:
    """Linear layers over the bins, shared by channels and frames; None without a bottleneck."""
    if bottleneck is None:
        return None
    sizes = [n_bins, n_bins] if bottleneck == 0 else [n_bins, n_bins // bottleneck, n_bins]
    layers = [
        (Linear(n_in, n_out, bias=bias), norm(norm_type, n_chan), nn.ReLU()) for n_in, n_out in zip(sizes, sizes[1:])
    ]
    return nn.Sequential(*[part for layer in layers for part in layer])


class TFCTDF(nn.Module):
    """``y = TFC(x)``, then ``y + TDF(y)``.

    Args:
        n_chan: channels.
        n_bins: bins.
        config: the rest.
    """

    def __init__(self, n_chan: int, n_bins: int, config: ConvTDFNetConfig) -> None:
        super().__init__()
        self.tfc = TFC(n_chan, config.n_convs, config.kernel_size, config.norm_type)
        self.tdf = tdf(n_chan, n_bins, config.bottleneck, config.bias, config.norm_type)

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, channels, frames, bins), shape kept."""
        return plus(self.tfc(x_BCNF), self.tdf)


class TFCTDFRes1(TFCTDF):
    """``y = TFC(x) + conv(x)``, then ``y + TDF(y)``; arguments as :class:`TFCTDF`."""

    def __init__(self, n_chan: int, n_bins: int, config: ConvTDFNetConfig) -> None:
        super().__init__(n_chan, n_bins, config)
        self.res = TFC(n_chan, 1, config.kernel_size, config.norm_type)

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, channels, frames, bins), shape kept."""
        return plus(self.tfc(x_BCNF) + self.res(x_BCNF), self.tdf)


class TFCTDFRes2(nn.Module):
    """``y = TFC1(x)``, then ``TFC2(y + TDF(y)) + conv(x)``; arguments as :class:`TFCTDF`."""

    def __init__(self, n_chan: int, n_bins: int, config: ConvTDFNetConfig) -> None:
        super().__init__()
        self.tfc1 = TFC(n_chan, config.n_convs, config.kernel_size, config.norm_type)
        self.tfc2 = TFC(n_chan, config.n_convs, config.kernel_size, config.norm_type)
        self.tdf = tdf(n_chan, n_bins, config.bottleneck, config.bias, config.norm_type)
        self.res = TFC(n_chan, 1, config.kernel_size, config.norm_type)

    def forward(self, x_BCNF: torch.Tensor) -> torch.Tensor:
        """(batch, channels, frames, bins), shape kept."""
        return self.tfc2(plus(self.tfc1(x_BCNF), self.tdf)) + self.res(x_BCNF)


BLOCKS = {"TFC_TDF": TFCTDF, "TFC_TDF_Res1": TFCTDFRes1, "TFC_TDF_Res2": TFCTDFRes2}


def plus(x: torch.Tensor, layer: nn.Module | None) -> torch.Tensor:
    """``x + layer(x)``, or ``x`` without a layer."""
    return x if layer is None else x + layer(x)
