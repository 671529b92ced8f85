"""Convolutions along sequences whose features lie last, as attention and linear layers have them.

Legend: B sequence, N position, C feature.

A sequence (B, N, C) is in memory what a picture of one row is in PyTorch's ``channels_last`` format: two-dimensional
convolutions read it as it lies. One-dimensional ones copy it, and on CPUs are up to a hundred times slower (depthwise).
"""

import torch
from torch import nn
from torch.nn import functional as F


class Conv(nn.Conv1d):
    """As ``nn.Conv1d``, with the same weights. Shape: (batch, positions, features) in and out."""

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        stride, padding = (1, *self.stride), (0, *self.padding)
        picture = F.conv2d(_picture(x_BNC), self.weight.unsqueeze(2), self.bias, stride, padding, groups=self.groups)
        return picture.squeeze(2).mT


class ConvTranspose(nn.ConvTranspose1d):
    """As ``nn.ConvTranspose1d``, with the same weights. Shape: (batch, positions, features) in and out."""

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # no output_size
        stride = (1, *self.stride)
        return F.conv_transpose2d(_picture(x_BNC), self.weight.unsqueeze(2), self.bias, stride).squeeze(2).mT


def _picture(x_BNC: torch.Tensor) -> torch.Tensor:
    return x_BNC.mT.unsqueeze(2)
