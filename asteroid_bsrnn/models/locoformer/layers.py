"""Layers of TF-Locoformer: attention for what is far, convolution for what is near. Features lie last.

Legend: B sequence, N position, C feature, G group, H head, E feature of a head.

References
    [1] : "TF-Locoformer: Transformer with Local Modeling by Convolution for Speech Separation and Enhancement",
    Saijo et al., IWAENC 2024.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear
from ..layers.features_last import Conv, ConvTranspose
from .config import Config


class RMSGroupNorm(nn.Module):
    """Each group of consecutive features divided by its root mean square plus ``eps``; a gain, no bias ([1])."""

    def __init__(self, n_feat: int, n_groups: int, eps: float) -> None:
        super().__init__()
        self.n_groups, self.eps = n_groups, eps
        self.gamma = nn.Parameter(torch.ones(n_feat))

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        x_BNGE = x_BNC.float().unflatten(-1, (self.n_groups, -1))
        root = torch.linalg.vector_norm(x_BNGE, dim=-1, keepdim=True) * x_BNGE.shape[-1] ** -0.5
        return (x_BNGE / (root + self.eps)).flatten(-2) * self.gamma


def make_norm(config: Config) -> nn.Module:
    """The norm that a configuration names."""
    if config.norm == "layernorm":
        return nn.LayerNorm(config.emb_dim, eps=config.eps)
    return RMSGroupNorm(config.emb_dim, config.n_groups, config.eps)


class ConvSwiGLU(nn.Module):
    """Feed-forward network whose two linear layers are convolutions along the sequence, gated by SiLU.

    The sequence gets ``conv_kernel - conv_shift`` zeros on both sides, and more behind it to fill the last stride.

    Shape: (sequences, positions, features) in and out.
    """

    def __init__(self, config: Config, hidden: int) -> None:
        super().__init__()
        kernel, self.shift = config.conv_kernel, config.conv_shift
        self.conv = Conv(config.emb_dim, 2 * hidden, kernel, self.shift)
        self.deconv = ConvTranspose(hidden, config.emb_dim, kernel, self.shift)
        self.drop, self.margin = nn.Dropout(config.dropout), kernel - self.shift

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        n_positions = x_BNC.shape[1]
        fill = -(n_positions + self.margin - self.shift) % self.shift
        value, gate = self.conv(F.pad(x_BNC, (0, 0, self.margin, self.margin + fill))).chunk(2, dim=-1)
        spread = self.deconv(self.drop(value * F.silu(gate)))
        return self.drop(spread[:, self.margin : self.margin + n_positions])


class RotaryAttention(nn.Module):
    """Multi-head self-attention whose queries and keys are rotated by an angle that grows with their position.

    Shape: (sequences, positions, features) in and out.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_heads, self.dropout = config.n_heads, config.dropout
        self.qkv = Linear(config.emb_dim, 3 * config.attention_dim, bias=False)
        self.out = Linear(config.attention_dim, config.emb_dim, bias=False)

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x_BNC).unflatten(-1, (3, self.n_heads, -1)).transpose(1, 3).unbind(2)  # (B, H, N, E)
        rate = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(rotated(q), rotated(k), v, dropout_p=rate)
        return self.out(attended.transpose(1, 2).flatten(2))


def rotary_frequencies(width: int, device: torch.device | None = None) -> torch.Tensor:
    """Angle per position of each pair of features, ``10000 ** (-2 j / width)``. Shape: (width / 2,)."""
    return 10000.0 ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)


def rotated(x_BHNE: torch.Tensor) -> torch.Tensor:
    """Rotate each pair of adjacent features by position times frequency, in 32 bits; same shape and type."""
    n_positions, width = x_BHNE.shape[-2:]
    positions = torch.arange(n_positions, device=x_BHNE.device, dtype=torch.float32)
    angle = positions[:, None] * rotary_frequencies(width, x_BHNE.device)
    cos, sin = angle.cos(), angle.sin()
    a, b = x_BHNE.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2).to(x_BHNE.dtype)


class Path(nn.Module):
    """Convolution, attention, convolution along sequences, each behind a norm and beside a residual.

    The published code leaves out the factor 1/2 that the paper gives the convolutions; so does this.

    Shape: (sequences, positions, features) in and out.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden = config.ffn_hidden
        self.before = nn.ModuleList(_Residual(config, ConvSwiGLU(config, size)) for size in hidden[:-1])
        self.attention = _Residual(config, RotaryAttention(config))
        self.behind = _Residual(config, ConvSwiGLU(config, hidden[-1]))

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        x_BNC = x_BNC.contiguous()  # one copy here instead of strides through everything that follows
        for part in (*self.before, self.attention, self.behind):
            x_BNC = part(x_BNC)
        return x_BNC


class _Residual(nn.Module):
    def __init__(self, config: Config, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = make_norm(config), inner

    def forward(self, x_BNC: torch.Tensor) -> torch.Tensor:
        return x_BNC + self.inner(self.norm(x_BNC))


class Block(nn.Module):
    """One path over the bins and one over the frames, in the order that the configuration names.

    Shape: (batch, frames, bins, features) in and out.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.order = config.order
        self.over_bins, self.over_frames = Path(config), Path(config)

    def forward(self, x_BTFC: torch.Tensor) -> torch.Tensor:
        for axis in self.order:
            x_BTFC = self._along_bins(x_BTFC) if axis == "f" else self._along_frames(x_BTFC)
        return x_BTFC

    def _along_bins(self, x_BTFC: torch.Tensor) -> torch.Tensor:
        return self.over_bins(x_BTFC.flatten(0, 1)).unflatten(0, x_BTFC.shape[:2])

    def _along_frames(self, x_BTFC: torch.Tensor) -> torch.Tensor:
        x_BFTC = x_BTFC.transpose(1, 2)
        return self.over_frames(x_BFTC.flatten(0, 1)).unflatten(0, x_BFTC.shape[:2]).transpose(1, 2)
