"""Norms on channel-last tensors, and the initialisation of stacked layers.

Legend: P position, B batch, R position * batch, S sequence, N feature.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class SequenceNorm(nn.Module):
    """Group norm over sequence and features of channel-last tensors; same numbers as ``nn.GroupNorm``.

    With one group it is a single fused layer norm over the contiguous (sequence, feature) rows, the affine
    parameters being the same along the sequence.

    Args:
        n_feat: features.
        n_groups: groups of features with statistics of their own.
        eps: added to the variance.
    """

    def __init__(self, n_feat: int, n_groups: int = 1, eps: float = 1e-7) -> None:
        super().__init__()
        self.n_groups, self.eps = n_groups, eps
        self.weight = nn.Parameter(torch.ones(n_feat))
        self.bias = nn.Parameter(torch.zeros(n_feat))

    def forward(self, x_PBSN: torch.Tensor) -> torch.Tensor:
        """Shape: (positions, batch, sequence, features) in and out."""
        if self.n_groups > 1:
            y_RNS = x_PBSN.flatten(0, 1).transpose(1, 2)
            y_RNS = F.group_norm(y_RNS, self.n_groups, self.weight, self.bias, self.eps)
            return y_RNS.transpose(1, 2).view(x_PBSN.shape)
        shape = x_PBSN.shape[2:]
        return F.layer_norm(x_PBSN, shape, self.weight.expand(shape), self.bias.expand(shape), self.eps)


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Parameter drawn as PyTorch draws weight and bias of a linear or convolution layer with ``fan_in`` inputs."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
