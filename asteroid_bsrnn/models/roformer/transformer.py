"""Transformer layers with rotary positions; their names are those of the public weights, which load as they are.

Axes: R rows (batch), N tokens, D features, X queries and keys, H heads, E features of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear, linear

BASE = 10000.0
SMALLEST = 1e-12


class RMSNorm(nn.Module):
    """Vectors of root mean square 1, times a gain. A silent vector stays silent, with finite gradients.

    Where a product follows, its weights take the gain in (:meth:`fold`): nothing is kept for the gain's gradient.

    Args:
        dim: features, the last axis.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    @staticmethod
    def unit(x: torch.Tensor) -> torch.Tensor:
        """``x`` with a norm of 1 over the last axis, computed in float32 at least."""
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        return (x / norm.clamp_min(SMALLEST)).to(x.dtype)

    def gain(self) -> torch.Tensor:
        """What :meth:`unit` is multiplied by."""
        return self.gamma * len(self.gamma) ** 0.5

    def fold(self, linear: nn.Linear) -> torch.Tensor:
        """The weight of a linear layer that follows, for :meth:`unit` as its input."""
        return linear.weight * self.gain()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unit(x) * x.shape[-1] ** 0.5 * self.gamma.to(x.dtype)


def phases(n_tokens: int, dim_head: int, like: torch.Tensor) -> torch.Tensor:
    """Unit complex numbers that turn the pairs of features of each token.

    Returns:
        (n_tokens, dim_head // 2), complex64: at token n and pair i the angle is n * 10000 ** (-2 i / dim_head).
    """
    device = like.device
    frequency = BASE ** -(torch.arange(0, dim_head, 2, device=device, dtype=torch.float32) / dim_head)
    angle = torch.arange(n_tokens, device=device, dtype=torch.float32)[:, None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x_RNXHE: torch.Tensor, phase_NE: torch.Tensor) -> torch.Tensor:
    """Turn consecutive pairs of features by the phase of their token."""
    wide = x_RNXHE.to(torch.promote_types(x_RNXHE.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * phase_NE[:, None, None]).flatten(-2).to(x_RNXHE.dtype)


class Attention(nn.Module):
    """Attention of all tokens of a row, with rotary positions.

    Args:
        dim: features D.
        n_heads, dim_head: H and E.
        gate: multiply each head by a sigmoid of the normalised input.
        dropout: of weights and outputs.

    Shape:
        (rows, tokens, dim) -> (rows, tokens, dim)
    """

    def __init__(self, dim: int, n_heads: int, dim_head: int, gate: bool, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm = RMSNorm(dim)
        self.to_qkv = Linear(dim, 3 * n_heads * dim_head, bias=False)
        self.to_gates = Linear(dim, n_heads) if gate else None
        self.to_out = nn.Sequential(Linear(n_heads * dim_head, dim, bias=False), nn.Dropout(dropout))

    def forward(self, x_RND: torch.Tensor, phase_NE: torch.Tensor) -> torch.Tensor:
        unit_RND = self.norm.unit(x_RND)
        qkv = linear(unit_RND, self.norm.fold(self.to_qkv)).unflatten(-1, (3, self.n_heads, -1))
        qk_RNXHE, v_RNXHE = qkv.split([2, 1], dim=2)
        q, k = rotate(qk_RNXHE, phase_NE).unbind(2)
        v = v_RNXHE.squeeze(2).contiguous()  # as a part of qkv it would keep all of it for the backward pass
        q_RHNE, k_RHNE, v_RHNE = (part.transpose(1, 2) for part in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        out_RNHE = F.scaled_dot_product_attention(q_RHNE, k_RHNE, v_RHNE, dropout_p=dropout).transpose(1, 2)
        if self.to_gates is not None:
            gate_RNH = linear(unit_RND, self.norm.fold(self.to_gates), self.to_gates.bias).sigmoid()
            out_RNHE = out_RNHE * gate_RNH.unsqueeze(-1)
        return self.to_out(out_RNHE.flatten(2))


class LinearAttention(nn.Module):
    """Attention of features instead of tokens: its cost grows with the number of tokens, not with the square of it.

    Queries and keys are normalised over the tokens; a temperature for each head and a factor of 8 scale their products.
    Arguments and shapes as :class:`Attention`; positions play no role.
    """

    SCALE = 8.0

    def __init__(self, dim: int, n_heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm = RMSNorm(dim)
        self.to_qkv: Any = nn.Sequential(Linear(dim, 3 * n_heads * dim_head, bias=False))
        self.temperature = nn.Parameter(torch.ones(n_heads, 1, 1))
        self.to_out = nn.Sequential(nn.Identity(), Linear(n_heads * dim_head, dim, bias=False))

    def forward(self, x_RND: torch.Tensor, phase_NE: torch.Tensor | None = None) -> torch.Tensor:
        qkv = linear(self.norm.unit(x_RND), self.norm.fold(self.to_qkv[0])).unflatten(-1, (3, self.n_heads, -1))
        q_RHEN, k_RHEN, v_RHEN = qkv.permute(2, 0, 3, 4, 1)
        q_RHEN = (F.normalize(q_RHEN, dim=-1) * self.temperature.exp()).to(v_RHEN.dtype)
        k_RHEN = F.normalize(k_RHEN, dim=-1).to(v_RHEN.dtype)
        dropout = self.dropout if self.training else 0.0
        out_RHEN = F.scaled_dot_product_attention(q_RHEN, k_RHEN, v_RHEN, dropout_p=dropout, scale=self.SCALE)
        return self.to_out(out_RHEN.permute(0, 3, 1, 2).flatten(2))


class FeedForward(nn.Module):
    """Norm, linear to four times the features, GELU, linear back; dropout after the last two."""

    def __init__(self, dim: int, dropout: float, ratio: int = 4) -> None:
        super().__init__()
        wide = ratio * dim
        layers = [
            RMSNorm(dim),
            Linear(dim, wide),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(wide, dim),
            nn.Dropout(dropout),
        ]
        self.net = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm: Any
        first: Any
        norm, first, *rest = self.net
        x = linear(norm.unit(x), norm.fold(first), first.bias)
        for layer in rest:
            x = layer(x)
        return x


class Transformer(nn.Module):
    """Layers of attention and feed-forward net, each added to its input.

    Args:
        layers: pairs of attention and feed-forward net.
        norm: at the end, or None.

    Shape:
        (rows, tokens, dim) -> (rows, tokens, dim)
    """

    def __init__(self, layers: Sequence[tuple[nn.Module, nn.Module]], norm: RMSNorm | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in layers)
        self.norm = norm

    def forward(self, x_RND: torch.Tensor, phase_NE: torch.Tensor | None = None) -> torch.Tensor:
        pair: Any
        for pair in self.layers:
            attention, feed_forward = pair
            x_RND = x_RND + attention(x_RND, phase_NE)
            x_RND = x_RND + feed_forward(x_RND)
        return x_RND if self.norm is None else self.norm(x_RND)
