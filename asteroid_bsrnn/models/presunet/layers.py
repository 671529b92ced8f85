"""Residual units of PResUNet, and its stages. Feature maps are (batch, channels, frames, bins)."""

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.01
MOMENTUM = 0.01


class ResidualUnit(nn.Module):
    """Norm, leaky ReLU, 3x3 convolution, all twice, added to the input (by a 1x1 convolution where the width changes).

    Args:
        in_chan: channels in.
        out_chan: channels out.
    """

    def __init__(self, in_chan: int, out_chan: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_chan, momentum=MOMENTUM)
        self.conv1 = nn.Conv2d(in_chan, out_chan, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_chan, momentum=MOMENTUM)
        self.conv2 = nn.Conv2d(out_chan, out_chan, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(in_chan, out_chan, 1) if in_chan != out_chan else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, in_chan, frames, bins) -> (batch, out_chan, frames, bins)
        """
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        return self.shortcut(x) + self.conv2(F.leaky_relu(self.norm2(y), SLOPE))


def residual_units(in_chan: int, out_chan: int, count: int) -> nn.Sequential:
    """``count`` units in a row, the first of which changes the width."""
    return nn.Sequential(*(ResidualUnit(out_chan if index else in_chan, out_chan) for index in range(count)))


class UpStage(nn.Module):
    """Twice as many frames and bins, beside what the encoder had there, through residual units.

    Args:
        in_chan: channels in.
        out_chan: channels out, and those of the encoder's maps.
        n_units: residual units.
    """

    def __init__(self, in_chan: int, out_chan: int, n_units: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_chan)
        self.up = nn.ConvTranspose2d(in_chan, out_chan, 3, stride=2, bias=False)
        self.units = residual_units(2 * out_chan, out_chan, n_units)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, in_chan, frames, bins), (batch, out_chan, 2 frames, 2 bins) -> as the second
        """
        y = self.up(F.relu(self.norm(x)))[..., :-1, :-1]
        return self.units(torch.cat([y, skip], dim=1))


class Head(nn.Module):
    """Maps of one source: residual units and a 1x1 convolution.

    Args:
        n_chan: channels in.
        out_chan: maps out.
        n_units: residual units.
    """

    def __init__(self, n_chan: int, out_chan: int, n_units: int) -> None:
        super().__init__()
        self.units = residual_units(n_chan, n_chan, n_units)
        self.out = nn.Conv2d(n_chan, out_chan, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, n_chan, frames, bins) -> (batch, out_chan, frames, bins)
        """
        return self.out(self.units(x))
