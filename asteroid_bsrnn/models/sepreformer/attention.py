"""Attention of SepReformer: over time with relative positions, and across speakers.

Legend: B batch (speakers merged), S speaker, T frame, F feature, H head, E feature of a head, R relative position.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear

QUERIES = 256  # that are compared with all keys at a time: memory grows with the length, not with its square


class Attention(nn.Module):
    """Layer norm, multi-head attention, scaled output; no residual inside.

    With a table of positions, frame i scores frame j by ``q_i . (k_j + p_{i - j}) / sqrt(E)``.

    Args:
        n_feat: features.
        n_heads: heads.
        dropout: on the weights and on the output.
    """

    def __init__(self, n_feat: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm = nn.LayerNorm(n_feat)
        self.query, self.key, self.value, self.out = (Linear(n_feat, n_feat) for _ in range(4))
        self.drop = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((n_feat,), 1e-5))

    def over_time(self, x_BTF: torch.Tensor, table_RE: torch.Tensor) -> torch.Tensor:
        """Attend along the frames. Shape: (batch, frames, features) in and out; table (2 m, features / heads)."""
        query, key, value = (part.transpose(1, 2) for part in self._projected(x_BTF))
        out_BHTE = relative_attention(query, key, value, table_RE, self._rate)
        return self._finished(out_BHTE.transpose(1, 2))

    def over_speakers(self, x_BTF: torch.Tensor, n_src: int) -> torch.Tensor:
        """Attend from speaker to speaker within each frame. Shape: (batch * n_src, frames, features) in and out.

        The sequences are as long as there are speakers, so the products are written out.
        """
        q, k, v = (part.unflatten(0, (-1, n_src)) for part in self._projected(x_BTF))  # (batch, S, T, H, E)
        scores_BSSTH = (q.unsqueeze(2) * k.unsqueeze(1)).sum(-1) * q.shape[-1] ** -0.5
        weights = F.dropout(scores_BSSTH.softmax(2), self._rate)
        out = (weights.unsqueeze(-1).to(v.dtype) * v.unsqueeze(1)).sum(2)
        return self._finished(out.flatten(0, 1))

    @property
    def _rate(self) -> float:
        return self.dropout if self.training else 0.0

    def _projected(self, x_BTF: torch.Tensor) -> list[torch.Tensor]:
        normed = self.norm(x_BTF)
        return [layer(normed).unflatten(-1, (self.n_heads, -1)) for layer in (self.query, self.key, self.value)]

    def _finished(self, out_BTHE: torch.Tensor) -> torch.Tensor:
        return self.scale * self.drop(self.out(out_BTHE.flatten(-2)))


def relative_attention(
    q_BHTE: torch.Tensor, k_BHTE: torch.Tensor, v_BHTE: torch.Tensor, table_RE: torch.Tensor, dropout: float = 0.0
) -> torch.Tensor:
    """Softmax attention with relative positions on the key side, some queries at a time.

    Args:
        table_RE: (2 m, E); row ``m + r`` is the position of a key ``r`` frames before the query, clipped at the ends.
        dropout: probability on the weights.

    Shape:
        (batch, heads, frames, E) in and out.
    """
    parts = []
    for start in range(0, q_BHTE.shape[2], QUERIES):
        query = q_BHTE[:, :, start : start + QUERIES]
        bias = position_scores(query, start, k_BHTE.shape[2], table_RE)
        parts.append(F.scaled_dot_product_attention(query, k_BHTE, v_BHTE, attn_mask=bias, dropout_p=dropout))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def position_scores(q_BHTE: torch.Tensor, start: int, n_keys: int, table_RE: torch.Tensor) -> torch.Tensor:
    """The position's part of the scores, ``q_i . p_{i - j} / sqrt(E)``.

    The queries meet each row of the table that any of them needs once, from the largest distance to the smallest; row
    i of the product then begins one column earlier than row i - 1, which a view of the memory with a row length one
    shorter undoes. Nothing of size queries x keys x features exists.

    Args:
        q_BHTE: the queries of frames ``start``, ``start + 1``, ...
        n_keys: number of keys.

    Shape:
        (batch, heads, queries, E) -> (batch, heads, queries, n_keys)
    """
    n_queries, reach = q_BHTE.shape[2], len(table_RE) // 2
    distances = start + n_queries - 1 - torch.arange(n_queries + n_keys, device=table_RE.device)
    rows = table_RE[distances.clamp(-reach, reach - 1) + reach] * q_BHTE.shape[-1] ** -0.5
    scores = torch.matmul(q_BHTE, rows.to(q_BHTE.dtype).mT).flatten(2)
    width = n_queries + n_keys - 1
    return scores[..., n_queries - 1 :][..., : n_queries * width].unflatten(-1, (n_queries, width))[..., :n_keys]
