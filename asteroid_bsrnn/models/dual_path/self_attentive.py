"""The self-attentive network along the chunks, and the block of Sandglasset.

Legend: B batch, N feature, K position in a chunk, L chunk.

References
    [1] : "Sandglasset: A light multi-granularity self-attentive network for time-domain speech separation",
    Lam et al., ICASSP 2021.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear
from ..layers.multi_scale import global_layer_norm
from .blocks import INTER, INTRA, RecurrentPath, from_sequences, sequences_along


def sinusoidal_positions(length: int, chan: int, device: torch.device | None = None) -> torch.Tensor:
    """Sines (even features) and cosines (odd features) of geometrically spaced frequencies: (length, chan)."""
    position = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)
    even = torch.arange(0, chan, 2, device=device, dtype=torch.float32)
    angles = position * torch.exp(even * (-math.log(10000.0) / chan))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :chan]


class MultiHeadAttention(nn.Module):
    """Scaled dot-product self-attention with several heads; weights as in ``nn.MultiheadAttention``.

    Shape: (length, batch, chan) -> (length, batch, chan)
    """

    def __init__(self, chan: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.in_proj, self.out_proj = Linear(chan, 3 * chan), Linear(chan, chan)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.in_proj(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 1, 3, 0, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.out_proj(mixed.permute(2, 0, 1, 3).flatten(2))


class SelfAttentive(nn.Module):
    """Multi-head self-attention along the chunks, for each position in the chunk by itself.

    Layer norm, sinusoidal positions (for any number of chunks), attention, dropout, residual, layer norm.

    Args:
        chan: N, divisible by ``n_heads``.
        n_heads: attention heads.
        dropout: of the attention weights and of its output.
        legacy_residual: leave the input of the attention out of the "residual", as public code does:
            norm(y + dropout(y)) with y the output of the attention.

    Shape: (B, N, K, L) -> (B, N, K, L)
    """

    def __init__(self, chan: int, n_heads: int = 8, dropout: float = 0.1, legacy_residual: bool = False) -> None:
        super().__init__()
        self.norm_in, self.norm_out = nn.LayerNorm(chan), nn.LayerNorm(chan)
        self.attention = MultiHeadAttention(chan, n_heads, dropout)
        self.dropout, self.legacy_residual = nn.Dropout(dropout), legacy_residual

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        x = self.norm_in(sequences_along(x_BNKL, INTER))
        x = x + sinusoidal_positions(x.shape[0], x.shape[2], x.device).to(x.dtype)[:, None]
        attended = self.attention(x)
        kept = attended if self.legacy_residual else x
        return from_sequences(self.norm_out(kept + self.dropout(attended)), len(x_BNKL), INTER)


class AttentivePath(nn.Module):
    """:class:`SelfAttentive`, global layer norm, residual: takes the place of the inter-chunk RNN."""

    def __init__(self, chan: int, n_heads: int, dropout: float, legacy_residual: bool) -> None:
        super().__init__()
        self.attentive = SelfAttentive(chan, n_heads, dropout, legacy_residual)
        self.norm = global_layer_norm(chan)

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        return x_BNKL + self.norm(self.attentive(x_BNKL))


class SandglassetBlock(nn.Module):
    """BiLSTM in the chunk, then self-attention along the chunks at a coarser granularity of the chunk [1].

    Args:
        chan: N.
        hid_size: units of the BiLSTM per direction.
        granularity: factor by which the chunk axis is reduced for the attention.
        resampling: "avg" (mean of ``granularity`` positions, linear interpolation back) or "dwconv"
            (depthwise convolution with kernel = stride = ``granularity``, and its transposed counterpart).
        n_heads, dropout, legacy_residual: as in :class:`SelfAttentive`.
    """

    def __init__(
        self,
        chan: int,
        hid_size: int,
        granularity: int,
        resampling: str,
        n_heads: int,
        dropout: float,
        legacy_residual: bool,
    ) -> None:
        super().__init__()
        self.local = RecurrentPath(chan, hid_size, INTRA)
        self.attentive = SelfAttentive(chan, n_heads, dropout, legacy_residual)
        self.norm = global_layer_norm(chan)
        self.down: nn.Module
        kernel = (granularity, 1)
        if granularity == 1:
            self.down, self.up = nn.Identity(), None
        elif resampling == "avg":
            self.down, self.up = nn.AvgPool2d(kernel), None
        else:
            self.down = nn.Conv2d(chan, chan, kernel, kernel, groups=chan)
            self.up = nn.ConvTranspose2d(chan, chan, kernel, kernel, groups=chan)

    def forward(self, x_BNKL: torch.Tensor, mirror: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the output of the block and the output of its attention, which the mirrored block adds."""
        local = self.local(x_BNKL)
        coarse = self.down(local)
        attended = self.attentive(coarse if mirror is None else coarse + mirror)
        return local + self.norm(self._upsample(attended, local.shape[2:])), attended

    def _upsample(self, x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        if self.up is not None:
            return self.up(x)
        return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class SandglassetStack(nn.Module):
    """Blocks whose granularity grows to the middle and shrinks again; the second half adds its mirrors' attention.

    Args:
        make_block: ``make_block(granularity)``.
        granularities: one per block, even in number and symmetric.
    """

    def __init__(self, make_block: Callable[[int], nn.Module], granularities: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(make_block(granularity) for granularity in granularities)

    def forward(self, x_BNKL: torch.Tensor) -> torch.Tensor:
        mirrors: list[torch.Tensor] = []
        for b, block in enumerate(self.blocks):
            second_half = b >= len(self.blocks) // 2
            x_BNKL, attended = block(x_BNKL, mirrors.pop() if second_half else None)
            if not second_half:
                mirrors.append(attended)
        return x_BNKL
