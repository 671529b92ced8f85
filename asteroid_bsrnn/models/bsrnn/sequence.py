"""Residual nets that run along one axis of the band features: recurrent, convolutional or dilated.

Every net reads (P, B, S, N) and returns (S, B, P, N): the axis it runs along and the other one change places, so
that each norm sees contiguous rows and each recurrent layer gets its time-major input with a single copy.

Legend: P positions on the other axis, B batch, S sequence, N feature, H hidden.
"""

import torch
from torch import nn

from ...common.products import Linear
from ..layers.norms import SequenceNorm

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}
LAYERS = ("lstm", "gru", "conv", "dilated", "none")


class ConvLayer(nn.Module):
    """Convolution of three taps and ReLU in the place of the recurrent layer. Time-major in and out."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, 3, padding=1)

    def forward(self, x_SPN: torch.Tensor) -> torch.Tensor:
        """Shape: (sequence, rows, n_in) -> (sequence, rows, n_out)."""
        return self.conv(x_SPN.permute(1, 2, 0)).relu().permute(2, 0, 1)


class ResidualNet(nn.Module):
    """Norm, recurrent (or convolution) layer, linear layer; the input is added to the result.

    Args:
        layer: "lstm", "gru" or "conv".
        n_feat: N.
        hid_ratio: hidden features per direction are ``hid_ratio * n_feat``.
        bidirectional: whether the recurrent layer also runs backwards.
        n_groups: groups of the norm.
        eps: of the norm.
    """

    def __init__(
        self,
        layer: str,
        n_feat: int,
        hid_ratio: int = 2,
        bidirectional: bool = True,
        n_groups: int = 1,
        eps: float = 1e-7,
    ) -> None:
        super().__init__()
        self.norm = SequenceNorm(n_feat, n_groups, eps)
        hid_size = hid_ratio * n_feat
        n_out = hid_size * (2 if bidirectional else 1)
        if layer == "conv":
            self.layer = ConvLayer(n_feat, n_out)
        else:
            self.layer = RECURRENT[layer](n_feat, hid_size, bidirectional=bidirectional)
        self.proj = Linear(n_out, n_feat)

    def forward(self, x_PBSN: torch.Tensor) -> torch.Tensor:
        """Shape: (positions, batch, sequence, features) -> (sequence, batch, positions, features)."""
        y_SBPN = self.norm(x_PBSN).transpose(0, 2)
        y_SQN = self.layer(y_SBPN.flatten(1, 2))
        y_SQN = self.proj(y_SQN[0] if isinstance(y_SQN, tuple) else y_SQN)
        return y_SQN.view(y_SBPN.shape) + x_PBSN.transpose(0, 2)


class DilatedNet(nn.Module):
    """Dilated-convolution net of BSCNN: a stack of growing dilations, then layers that fuse neighbouring scales.

    Args:
        n_feat: N.
        n_dilated: dilated layers; 0 leaves only the first and the last convolution.
        kernel_size: taps of each convolution.
        hid_ratio: hidden channels are ``hid_ratio * n_feat``.
        eps: of the first and the last norm; those in between have PyTorch's 1e-5.

    The last activation precedes the sum, so that a net only adds non-negative values, as published.
    """

    def __init__(
        self, n_feat: int, n_dilated: int = 3, kernel_size: int = 3, hid_ratio: int = 1, eps: float = 1e-7
    ) -> None:
        super().__init__()
        hid = hid_ratio * n_feat

        def layer(n_in: int, n_out: int, dilation: int = 1, eps: float = 1e-5) -> nn.Sequential:
            conv = nn.Conv1d(n_in, n_out, kernel_size, padding="same", dilation=dilation)
            return nn.Sequential(nn.GroupNorm(1, n_in, eps), conv, nn.ReLU())

        self.in_layer = layer(n_feat, hid, eps=eps)
        self.dil_layers = nn.ModuleList(layer(hid, hid, 2**index) for index in range(n_dilated))
        self.concat_layers = nn.ModuleList(layer(hid * n, hid) for n in neighbour_counts(n_dilated))
        self.out_layer = layer(hid * max(n_dilated, 1), n_feat, eps=eps)

    def forward(self, x_PBSN: torch.Tensor) -> torch.Tensor:
        """Shape: (positions, batch, sequence, features) -> (sequence, batch, positions, features)."""
        y_QHS = self.in_layer(x_PBSN.flatten(0, 1).transpose(1, 2))
        scales: list[torch.Tensor] = []
        for layer in self.dil_layers:
            scales.append(layer(scales[-1] if scales else y_QHS))
        fused = [
            layer(torch.cat(scales[max(index - 1, 0) : index + 2], dim=1))
            for index, layer in enumerate(self.concat_layers)
        ]
        y_QNS = self.out_layer(torch.cat(fused, dim=1) if fused else y_QHS)
        y_PBNS = y_QNS.unflatten(0, x_PBSN.shape[:2])
        return torch.add(y_PBNS.permute(3, 1, 0, 2), x_PBSN.transpose(0, 2)).contiguous()


class Passage(nn.Module):
    """No net along this axis: only the axes change places."""

    def forward(self, x_PBSN: torch.Tensor) -> torch.Tensor:
        """Shape: (positions, batch, sequence, features) -> (sequence, batch, positions, features)."""
        return x_PBSN.transpose(0, 2).contiguous()


def neighbour_counts(n_dilated: int) -> list[int]:
    """How many scales each fusing layer of :class:`DilatedNet` reads: itself and its neighbours."""
    return [min(index + 2, n_dilated) - max(index - 1, 0) for index in range(n_dilated)]
